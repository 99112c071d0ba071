"""Half a million characters of malice end in seconds."""

import time

import pytest

from yapit.text import to_blocks
from yapit.text.splitting import LIMIT

SIZE = 500_000
# Generous: a busy two-core machine. Anything quadratic takes minutes or hours.
SECONDS = 30


@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "![[",
        "*",
        "**a*",
        ">",
        "> ",
        "- ",
        "- > ",
        "`a``",
        "$$a ",
        "a\u0301\u0316",
        "\u0301\u0316",
        "<a ",
        "[^a",
        "今天。",
        "(“a. ",
        "a",
        "a ",
    ],
)
def test_one_line_of_anything_ends_in_seconds(unit):
    source = (unit * SIZE)[:SIZE]
    start = time.monotonic()

    document = to_blocks(source)

    assert time.monotonic() - start < SECONDS
    assert all(0 < len(block) <= LIMIT for block in document.blocks)


@pytest.mark.parametrize(
    "line", ["- a\n", "a\n", "[a]: b\n", "$$a\n\n", "|a", "<yap-show>\n\n", "> [!x] a\n\n"]
)
def test_many_lines_of_anything_end_in_seconds(line):
    start = time.monotonic()

    to_blocks((line * SIZE)[:SIZE])

    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("opening", ["> ", "- ", "> - ", "1. "])
def test_what_is_nested_too_deeply_is_still_spoken(opening):
    assert to_blocks(opening * 5_000 + "the word").blocks[-1].endswith("the word")


def test_brackets_nested_too_deeply_are_text():
    assert to_blocks("[" * 5_000 + "word" + "](http://x.org)" * 5_000).blocks


def test_deep_styles_do_not_nest_the_page_too_deeply():
    document = to_blocks("*a **b " * 400 + "c" + "** *" * 400)

    assert all(section.html.count("<em><strong>") <= 400 for section in document.sections)


def test_one_paragraph_of_half_a_million_characters_loses_no_word():
    source = " ".join(f"word{n}" for n in range(45_000))

    assert " ".join(to_blocks(source).blocks).split() == source.split()
