"""Callouts and their titles, footnotes and their order."""

import pytest

from tests.yapit.text.page import html, kinds, spoken


def test_the_title_of_a_callout_is_a_separate_block():
    source = "> [!TIP] Watch this\n> the body\n>\n> and more"

    assert spoken(source) == ["Watch this", "the body", "and more"]
    assert kinds(source) == ["callout"]
    assert "callout-green" in html(source)


@pytest.mark.parametrize(
    ("kind", "colour"),
    [
        ("NOTE", "blue"),
        ("hint", "green"),
        ("Important", "purple"),
        ("DANGER", "red"),
        ("WARNING", "yellow"),
        ("teal", "teal"),
        ("QUOTE", "gray"),
        ("nonsense", "blue"),
    ],
)
def test_types_and_their_aliases_have_colours(kind, colour):
    assert f"callout-{colour}" in html(f"> [!{kind}] title")


def test_a_callout_without_title_speaks_its_body():
    assert spoken("> [!NOTE]\n> body") == ["body"]


def test_a_callout_title_keeps_styles_and_footnotes():
    source = "> [!NOTE] A **bold** title[^1]\n> body\n\n[^1]: the note"

    assert spoken(source) == ["A bold title", "body", "the note"]
    assert '<sup class="footnote-ref">' in html(source)


def test_a_callout_inside_a_list_item_is_kept():
    assert spoken("- item\n\n  > [!NOTE] title\n  > body") == ["item", "title", "body"]


def test_footnotes_are_read_at_the_end_numbers_first():
    source = "x[^b] y[^10] z[^2] w[^a]\n\n[^a]: A\n[^10]: ten\n[^b]: B\n[^2]: two\n\nlast"

    assert spoken(source) == ["x y z w", "last", "two", "ten", "A", "B"]


def test_a_reference_without_definition_is_text():
    assert spoken("x[^1] y[^no]\n\n[^1]: note") == ["x y[^no]", "note"]


def test_a_definition_without_reference_is_dropped():
    assert spoken("x[^1]\n\n[^1]: note\n[^2]: dropped") == ["x", "note"]


def test_the_last_of_two_definitions_is_used():
    assert spoken("x[^1]\n\n[^1]: first\n\n[^1]: second") == ["x", "second"]


def test_a_footnote_may_refer_to_another():
    assert spoken("x[^1]\n\n[^1]: see[^2]\n[^2]: there") == ["x", "see", "there"]


def test_footnotes_that_only_refer_to_each_other_are_dropped():
    assert spoken("x\n\n[^1]: a[^2]\n\n[^2]: b[^1]") == ["x"]


def test_a_footnote_keeps_its_paragraphs_and_lists():
    assert spoken("x[^1]\n\n[^1]: one\n\n    two\n\n    - three") == ["x", "one two", "three"]
