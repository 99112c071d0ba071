"""Documents that come page by page."""

import pytest

from tests.yapit.text.page import spoken
from yapit.text import join_pages


def test_pages_are_joined_by_a_blank_line():
    assert join_pages(["One.", "", "Two."]) == "One.\n\nTwo."


def test_a_paragraph_that_goes_on_is_joined():
    assert join_pages(["It goes", "on here."]) == "It goes on here."


def test_a_word_that_was_broken_is_mended():
    assert join_pages(["It is won-", "derful."]) == "It is wonderful."


@pytest.mark.parametrize("page", ["# heading", "| cell", "> quote,", "[^1]: note", "A sentence.", "```"])
def test_what_is_no_open_paragraph_stays_apart(page):
    assert join_pages([page, "small letters"]) == f"{page}\n\nsmall letters"


def test_a_footnote_label_of_several_pages_is_one_for_each():
    pages = ["one[^1]\n\n[^1]: first", "Two[^1][^x]\n\n[^1]: second\n\n[^x]: X"]

    assert spoken(join_pages(pages)) == ["one", "Two", "first", "second", "X"]
    assert "[^x]" in join_pages(pages)
