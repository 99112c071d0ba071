"""Properties of every transformed document."""

import re
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.yapit.text.page import Page
from yapit.text import Transformed, to_blocks
from yapit.text.block_builder import is_speakable
from yapit.text.splitting import LIMIT, split

LETTERS = st.sampled_from("abcdé.,;:!?—“”()'\"今。，नि।؟ 1 \u0301")
WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=400), max_size=40).map(
    # Longer runs of marks are dropped, which is tested elsewhere.
    lambda words: re.sub("\u0301+", "\u0301", " ".join(words))
)
LINES = st.sampled_from(
    ("# h", "- a", "  - b", "1. c", "> q", "> [!tip] t", "```", "$$", "$$ x $$", "x [^1] y", "[^1]: n", "")
) | st.sampled_from(
    (
        *(
            "| a | b |",
            "|---|---|",
            "<yap-show>",
            "</yap-show>",
            "<yap-speak>",
            "</yap-speak>",
            "<div>",
            "---",
        ),
        *(
            "![i](http://x/i)<yap-cap>c</yap-cap>",
            "**b <yap-show>s</yap-show>**",
            "word, word. Word!",
            "&#0;",
        ),
        *("[l](http://x)", "    code", "  lazy"),
    )
)
DOCUMENTS = st.lists(LINES, max_size=30).map("\n".join) | st.text(max_size=300)


def in_words(text: str) -> str:
    return "".join(text.split())


@given(WORDS, st.booleans())
@settings(max_examples=200, deadline=None)
def test_spans_cover_the_text_and_keep_the_limit(text, first):
    text = " ".join(text.split())
    spans = split(text, first=first)

    assert [span.start for span in spans] == [0, *(span.end for span in spans)][: len(spans)]
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(len(text[span.start : span.end].strip()) <= LIMIT for span in spans)


@given(WORDS)
@settings(max_examples=100, deadline=None)
def test_plain_text_is_shown_and_spoken_once(text):
    document = to_blocks(text, markdown=False)

    shown = Page(document).text
    assert in_words(shown) == in_words(unicodedata.normalize("NFC", text))
    spoken = [c for c in in_words("".join(document.blocks)) if c.isalnum()]
    assert spoken == [c for c in in_words(shown) if c.isalnum()]


@given(DOCUMENTS)
@settings(max_examples=300, deadline=None)
def test_sections_contain_the_blocks_in_order(source):
    document = to_blocks(source)
    page = Page(document)

    next_block = 0
    for section in document.sections:
        assert section.first_block == next_block
        next_block += section.block_count
    assert next_block == len(document.blocks)
    assert set(page.by_block) <= set(range(next_block))


@given(DOCUMENTS)
@settings(max_examples=300, deadline=None)
def test_every_block_is_speakable_and_storable(source):
    document: Transformed = to_blocks(source)

    for block in document.blocks:
        assert 0 < len(block) <= LIMIT
        assert block == block.strip() == unicodedata.normalize("NFC", block)
        assert is_speakable(block)
        assert "\x00" not in block
    assert len(document.pauses) == len(document.blocks)
    assert set(document.pauses) <= {120, 250, 300, 500, 800, 1200}


@given(DOCUMENTS)
@settings(max_examples=200, deadline=None)
def test_the_shown_text_of_a_block_keeps_its_order(source):
    document = to_blocks(source)

    for number, shown in Page(document).by_block.items():
        letters = iter(unicodedata.normalize("NFD", document.blocks[number]))
        assert all(letter in letters for letter in unicodedata.normalize("NFD", shown) if letter.isalnum())
