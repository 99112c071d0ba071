"""Worst-case inputs: the time is linear in the length, up to half a million characters."""

import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yapit.text import to_blocks
from yapit.text.splitting import LIMIT

SIZE = 500_000
SMALL = 8_000
UNITS = [
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
    "- a\n",
    "a\n",
    "[a]: b\n",
    "$$a\n\n",
    "|a",
    "<yap-show>\n\n",
    "> [!x] a\n\n",
    # The slowest inputs that random tests have found.
    "![<yap-cap>@http://,",
    "![</yap-show>e.g.",
    "[^ &<yap-speak>~~",
]
PARTS = [
    *UNITS,
    "]",
    "](",
    "]: ",
    "_",
    "~~",
    "``",
    "\\",
    "&#",
    "<!--",
    "-->",
    "<![CDATA[",
    "https://x.y/",
    "www.",
    "@",
]
PARTS += [
    "    ",
    "\t",
    "\n\n",
    "\r",
    "\u2028",
    "\xad",
    "|---",
    "===",
    "~~~",
    "data:",
    "Mr.",
    "e.g.",
    "🙂",
    "้",
    "。",
    "…",
]
CPU_SECONDS = 10.0  # for a twentieth of the longest text; most take a hundredth of this


def calls_for(source):
    """The number of function calls, which unlike time is the same in every run."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        to_blocks(source)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("unit", UNITS)
def test_the_number_of_calls_is_linear_in_the_length(unit):
    once, twice = (calls_for((unit * size)[:size]) for size in (SMALL, 2 * SMALL))

    assert twice < 3 * once


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_the_longest_text_is_transformed(unit):
    document = to_blocks((unit * SIZE)[:SIZE])

    assert all(0 < len(block) <= LIMIT for block in document.blocks)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join), st.booleans())
def test_no_regular_expression_takes_exponential_time(unit, markdown):
    """Measured in CPU time, since time within a regular expression is not counted as calls."""
    source = (unit * (SIZE // 20))[: SIZE // 20]

    begun = time.thread_time()
    to_blocks(source, markdown=markdown)

    assert time.thread_time() - begun < CPU_SECONDS


@pytest.mark.parametrize("opening", ["> ", "- ", "> - ", "1. "])
def test_text_beyond_the_maximum_depth_is_spoken(opening):
    assert to_blocks(opening * 5_000 + "the word").blocks[-1].endswith("the word")


def test_too_many_brackets_are_text():
    assert to_blocks("[" * 5_000 + "word" + "](http://x.org)" * 5_000).blocks


def test_the_depth_of_styles_is_limited():
    document = to_blocks("*a **b " * 400 + "c" + "** *" * 400)

    assert all(section.html.count("<em><strong>") <= 400 for section in document.sections)


def test_a_paragraph_of_half_a_million_characters_keeps_every_word():
    source = " ".join(f"word{n}" for n in range(45_000))

    assert " ".join(to_blocks(source).blocks).split() == source.split()
