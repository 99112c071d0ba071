"""Splitting of text: limits, places of cuts, the short first block."""

import pytest

from yapit.text.sentences import sentence_ends
from yapit.text.splitting import FIRST_BLOCK, LIMIT, TARGET, split

SENTENCE = "This sentence has exactly fifty characters in it. "


def chunks(text, *, first=False):
    return [text[start:end].strip() for start, end, _ in split(text, first=first)]


def sizes(text, **options):
    return [len(chunk) for chunk in chunks(text, **options)]


def test_a_text_within_the_target_is_not_split():
    assert sizes("a. " * 83) == [248]


def test_sentences_are_packed_up_to_the_target():
    assert sizes((SENTENCE * 12).strip()) == [249, 249, 99]


def test_a_single_sentence_may_reach_the_limit():
    assert sizes("word " * 60 + "x" * 25) == [LIMIT]


def test_a_long_word_is_cut_at_the_target():
    assert sizes("a" * 700) == [250, 250, 200]


def test_a_sentence_above_the_limit_is_cut_after_its_last_clause():
    text = "word " * 20 + "one, " + "word " * 20 + "two, " + "word " * 40 + "end."

    assert chunks(text)[0][-4:] == "two,"


def test_a_sentence_without_clauses_is_cut_at_the_last_space():
    assert sizes(("word " * 66).strip()) == [TARGET - 1, 79]


def test_numbers_are_not_cut_at_commas():
    text = "It counts " + ("1,000,000 " * 40).strip()

    assert all(chunk.endswith("1,000,000") for chunk in chunks(text))


def test_a_short_remainder_is_not_cut_off():
    assert sizes(f"{'a' * 249} {'b' * 245} {'c' * 30}") == [249, 276]


def test_a_short_sentence_is_joined_to_its_neighbour():
    long = "x" * 120 + ". "

    assert sizes(long + long + "Yes. " + long + "No.") == [248, 125]


def test_a_quotation_above_the_limit_is_cut_between_its_sentences():
    text = "“" + SENTENCE * 10 + "” he said."

    assert chunks(text)[0].endswith("in it.")


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met Mrs. Jones at 5 p.m. on Main St. today.",
        "He likes fruit, e.g. apples, i.e. the red ones.",
        "It costs 3.50 dollars and weighs 2.75 pounds.",
        "J. R. R. Tolkien wrote it.",
        "See Fig. 3 and No. 5 on p. 12 of the book.",
    ],
)
def test_an_abbreviation_does_not_end_a_sentence(text):
    assert sentence_ends(text) == [len(text)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("今天天气很好。我们去公园吧！好吗？", 3),
        ("これは文です。はい！", 2),
        ("यह एक वाक्य है। दूसरा वाक्य।", 2),
        ("هل أنت بخير؟ نعم أنا بخير.", 2),
        ("Καλημέρα σας. Πώς είσαι σήμερα; Καλά.", 3),
        ("Привет. Как дела?", 2),
        ("یہ جملہ ہے۔ دوسرا جملہ۔", 2),
    ],
)
def test_sentences_end_by_the_marks_of_their_script(text, count):
    assert len(sentence_ends(text)) == count


def test_chinese_is_cut_at_sentences():
    text = ("今天天气很好" * 8 + "。") * 13

    assert all(chunk.endswith("。") for chunk in chunks(text))


def test_a_cut_does_not_separate_a_vowel_sign_from_its_letter():
    text = "कि" * 200

    assert all(chunk.startswith("क") for chunk in chunks(text))


def test_the_first_block_ends_at_its_first_sentence():
    text = "This is a first sentence of a fair size for a start. " + SENTENCE * 6

    assert chunks(text, first=True)[0] == "This is a first sentence of a fair size for a start."


def test_the_first_block_ends_at_a_clause_if_its_sentence_is_long():
    text = "When the long winter had finally come to an end, " + "words and " * 20 + "nothing."

    first, *_ = chunks(text, first=True)

    assert first == "When the long winter had finally come to an end,"
    assert len(first) <= FIRST_BLOCK


def test_the_first_block_is_not_cut_without_a_suitable_place():
    text = ("word " * 40).strip()

    assert chunks(text, first=True) == [text]


def test_a_very_short_first_sentence_is_not_the_first_block():
    text = "Hi. " + "word " * 40

    assert len(chunks(text, first=True)) == 1


def test_a_long_text_without_full_stops_is_cut_between_words():
    text = " ".join(f"word{number}" for number in range(2_000))

    assert " ".join(chunks(text)).split() == text.split()


def test_sentences_of_a_long_text_are_found():
    text = (SENTENCE * 500).strip()

    assert len(sentence_ends(text)) == 500
