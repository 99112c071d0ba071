"""The tags <yap-show>, <yap-speak> and <yap-cap> in all positions."""

import pytest

from tests.yapit.text.page import Page, html, spoken
from yapit.text import to_blocks


def shown(source):
    return Page(to_blocks(source)).text


def test_show_is_shown_and_silent():
    source = "before <yap-show>only seen</yap-show> after"

    assert spoken(source) == ["before after"]
    assert shown(source) == "before only seen after"


def test_speak_is_spoken_and_hidden():
    source = "before <yap-speak>only heard</yap-speak> after"

    assert spoken(source) == ["before only heard after"]
    assert "only heard" not in shown(source)


def test_show_over_several_blocks_consumes_no_numbers():
    source = "<yap-show>\n\n# Seen\n\n- too\n\n</yap-show>\n\nheard"
    document = to_blocks(source)

    assert document.blocks == ("heard",)
    assert [s.first_block for s in document.sections] == [0, 0, 0]
    assert "Seen" in shown(source)


def test_speak_over_a_blank_line_shows_nothing():
    source = "a\n\n<yap-speak>one\n\ntwo</yap-speak>\n\nb"

    assert spoken(source) == ["a", "one", "two", "b"]
    assert shown(source) == "ab"


def test_speak_hides_other_elements_within_it():
    source = "<yap-speak>\n\nheard\n\n```\ncode\n```\n\n|t|\n|-|\n\n---\n\n</yap-speak>"

    assert spoken(source) == ["heard"]
    assert html(source) == ""


@pytest.mark.parametrize(
    "source",
    [
        "[link <yap-show>x</yap-show> text](http://x.org)",
        "**link <yap-show>x</yap-show> text**",
        "**link <yap-show>x** text</yap-show> text",
        "> link <yap-show>x</yap-show> text",
        "- link <yap-show>x</yap-show> text",
        "# link <yap-show>x</yap-show> text",
    ],
)
def test_tags_work_inside_other_markup(source):
    assert spoken(source) == ["link text"]
    assert "x" in shown(source)


def test_spoken_text_after_an_equation_belongs_to_its_section():
    document = to_blocks("text\n\n$$x^2$$\n\n<yap-speak>x squared</yap-speak>\n\nmore")

    assert document.blocks == ("text", "x squared", "more")
    assert [(s.kind, s.first_block, s.block_count) for s in document.sections] == [
        ("paragraph", 0, 1),
        ("math", 1, 1),
        ("paragraph", 2, 1),
    ]


def test_spoken_text_after_inline_maths_is_a_separate_word():
    assert spoken("so $x$<yap-speak>the x</yap-speak>is it") == ["so the x is it"]


def test_a_caption_is_spoken_instead_of_the_description():
    source = "![desc](http://x.org/a.png)<yap-cap>A *caption*</yap-cap>"

    assert spoken(source) == ["A caption"]
    assert "<figcaption>" in html(source)
    assert Page(to_blocks(source)).by_block == {0: "A caption"}


def test_with_an_empty_caption_the_description_is_spoken():
    assert spoken("![desc](http://x.org/a.png)<yap-cap> </yap-cap>") == ["desc"]


def test_a_caption_before_its_image_is_spoken():
    assert spoken("<yap-cap>cap</yap-cap>![desc](http://x.org/a.png)") == ["cap", "desc"]


@pytest.mark.parametrize("tag", ["<yap-show>", "<yap-speak>", "</yap-show>", "<yap-cap>", "</yap-cap>"])
def test_an_unmatched_tag_has_no_effect(tag):
    assert spoken(f"one {tag} two\n\nthree") == ["one two", "three"]
    assert "three" in shown(f"one {tag} two\n\nthree")


def test_an_unmatched_tag_does_not_affect_a_later_pair():
    assert spoken("a <yap-show> b\n\nc <yap-show>d</yap-show> e") == ["a b", "c e"]


def test_tags_in_code_are_code():
    assert spoken("use `<yap-show>` to `</yap-show>` show") == ["use <yap-show> to </yap-show> show"]
