"""Pauses after blocks, by the structure that ends with the block."""

import pytest

from yapit.text import to_blocks

SENTENCE = "This sentence has exactly fifty characters in it. "
LONG = "word " * 60 + "and a comma, " + "word " * 20


def pauses(source, *, markdown=True):
    return list(to_blocks(source, markdown=markdown).pauses)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("One paragraph.", [500]),
        ("One.\n\nTwo.", [500, 500]),
        ("# Title\n\nText.", [800, 500]),
        ("Title\n-----\n\nText.", [800, 500]),
        ("###### Small\n\nText.", [800, 500]),
        ("- one\n- two\n\nText.", [300, 300, 500]),
        ("1. one\n\n2. two\n\nText.", [300, 300, 500]),
        ("- one\n  - inner\n- two", [300, 300, 300]),
        ("- one\n\n  > quoted\n- two", [300, 500, 300]),
        ("> A quote.\n>\n> Its end.", [500, 500]),
        ("> [!NOTE] Title\n> Body.", [500, 500]),
        ("![one](/static/a.png) ![two](/static/b.png)", [500, 500]),
        ("Text.[^a]\n\n[^a]: A note.", [500, 500]),
        ("Text.\n\n---\n\nMore.", [1200, 500]),
        ("## Part\n\n***\n\nMore.", [1200, 500]),
        ("- one\n- two\n\n---\n\nMore.", [300, 1200, 500]),
        ("> One.\n>\n> ---\n>\n> Two.", [1200, 500]),
        ("Text.\n\n# Chapter\n\nMore.", [1200, 800, 500]),
        ("# One\n\n# Two", [1200, 800]),
        ("Text.\n\n## Part\n\nMore.", [500, 800, 500]),
        ("Text.\n\n> # Quoted\n\nMore.", [500, 800, 500]),
        ("Text.\n\n```\ncode\n```\n\nMore.", [500, 500]),
        ("Text.\n\n```\ncode\n```\n\n---\n\nMore.", [1200, 500]),
        ("---\n\nText.\n\n---", [1200]),
        ("<yap-speak>Hidden.</yap-speak>\n\nText.", [500, 500]),
    ],
)
def test_a_pause_follows_from_the_structure_of_markdown(source, expected):
    assert pauses(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [("# One\nline\n\nTwo.", [500, 500]), ("- one\n- two", [500]), ("a\n\n---", [500])],
)
def test_plain_text_consists_of_paragraphs(source, expected):
    assert pauses(source, markdown=False) == expected


@pytest.mark.parametrize(("prefix", "last"), [("", 500), ("- ", 300), ("## ", 800), ("> ", 500)])
def test_blocks_within_a_structure_end_with_a_sentence_or_inside_one(prefix, last):
    assert pauses(prefix + SENTENCE * 12) == [250, 250, 250, last]
    assert pauses(prefix + LONG) == [120, last]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When the long winter had finally come to an end, " + "words and " * 20 + "nothing.", [120, 500]),
        ("This is a first sentence of a fair size for a start. " + SENTENCE * 2, [250, 500]),
    ],
)
def test_a_short_first_block_ends_with_a_sentence_or_inside_one(text, expected):
    assert pauses(text) == expected


def test_the_sentences_of_a_long_quotation_end_as_sentences():
    assert set(pauses("“" + SENTENCE * 10 + "” he said.")[:-1]) == {250}


def test_sentences_end_by_the_marks_of_their_script():
    assert set(pauses(("今天天气很好" * 8 + "。") * 13)[:-1]) == {250}
    assert set(pauses("Πώς είσαι σήμερα το πρωί που βρέχει τόσο πολύ; " * 13)[:-1]) == {250}


def test_a_cut_between_the_words_of_an_endless_sentence_is_inside_it():
    assert set(pauses("word " * 2_000)[:-1]) == {120}


def test_the_paragraphs_of_a_list_item_end_as_items():
    """They are split as one text."""
    source = "- " + "word " * 40 + "end.\n\n  " + "more " * 40 + "end."

    assert pauses(source) == [300, 300]


def test_punctuation_without_words_ends_the_block_before_it():
    source = "word " * 65 + ", " + "- " * 200

    document = to_blocks(source)

    assert document.pauses[-1] == 500
    assert len(document.pauses) == len(document.blocks)


def test_a_paragraph_without_words_has_no_pause_of_its_own():
    assert pauses("- one\n\n…\n\nText.") == [300, 500]
