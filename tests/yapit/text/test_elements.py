"""Spoken text and HTML of each Markdown element."""

import pytest

from tests.yapit.text.page import Page, html, kinds, spoken
from yapit.text import to_blocks


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# Heading\n\nText.", ["Heading", "Text."]),
        ("soft\nbreak and hard  \nbreak", ["soft break and hard break"]),
        ("some `code`, ~~gone~~, **bold** and [a link](http://x.org)", ["some code, gone, bold and a link"]),
        ("an ![picture](http://x.org/a.png) inside", ["an picture inside"]),
        ("a <b>tag</b> here", ["a tag here"]),
        ("<div>\ndropped\n</div>\n\nkept", ["kept"]),
        ("```\nsilent\n```\n\nkept", ["kept"]),
        ("    indented code\n\nkept", ["kept"]),
        ("| a | b |\n|---|---|\n| c | d |\n\nkept", ["kept"]),
        ("one\n\n---\n\ntwo", ["one", "two"]),
        ("The area $a^2$ counts.", ["The area counts."]),
        ("$$\na\n$$\n\nkept", ["kept"]),
        ("It costs $5 here and $6 there.", ["It costs $5 here and $6 there."]),
        ("> quoted\n>\n> twice", ["quoted", "twice"]),
        ("5 &lt; 6 &amp; so on", ["5 < 6 & so on"]),
    ],
)
def test_elements_are_spoken_or_silent(source, expected):
    assert spoken(source) == expected


def test_every_element_has_its_kind_of_section():
    source = (
        "# h\n\np\n\n- l\n\n> q\n\n> [!NOTE] c\n\n```\nx\n```\n\n|a|\n|-|\n\n$$\nm\n$$\n\n"
        "![i](http://x.org/i.png)\n\n---\n\nref[^1]\n\n[^1]: note"
    )

    assert " ".join(kinds(source)) == (
        "heading paragraph list quote callout code table math image rule paragraph footnotes"
    )


def test_a_document_of_code_has_sections_and_no_blocks():
    document = to_blocks("```\nx = 1\n```")

    assert (document.title, document.blocks) == (None, ())
    assert [section.kind for section in document.sections] == ["code"]


@pytest.mark.parametrize("source", ["", " \n\t\n", "\x00"])
def test_an_empty_source_has_no_sections(source):
    assert to_blocks(source) == to_blocks("", markdown=False)
    assert to_blocks(source).sections == ()


def test_punctuation_alone_is_shown_and_silent():
    assert spoken("* * *\n\n…\n\n?!") == []
    assert "?!" in html("?!")


def test_the_title_is_the_first_heading():
    assert to_blocks("Intro.\n\n## The *real* title\n\n# Later").title == "The real title"


def test_without_a_heading_the_first_words_are_the_title():
    assert to_blocks("Short.").title == "Short."
    long = to_blocks("many words " * 30).title
    assert long.endswith("words…")
    assert len(long) <= 80


def test_each_item_of_a_nested_list_is_a_separate_block():
    assert spoken("- a\n  - b\n  - c\n    1. d\n- e") == ["a", "b", "c", "d", "e"]


def test_the_paragraphs_of_an_item_are_one_text():
    assert spoken("- one\n\n  two\n\n- three") == ["one two", "three"]


def test_a_list_item_keeps_its_code_quotes_and_tables():
    source = "- item\n\n  ```\n  code\n  ```\n\n  > quote\n\n  | cell |\n  |---|\n\n  last"

    assert spoken(source) == ["item", "quote", "last"]
    assert all(part in html(source) for part in ("code", "<blockquote>", "cell</th>"))


def test_an_ordered_list_keeps_its_start():
    assert '<ol start="7">' in html("7. seven\n8. eight")


def test_a_labelled_equation_is_kept():
    assert "x^2" in html("$$x^2$$ (eq1)")
    assert "(eq1)" in Page(to_blocks("$$\nx^2\n$$ (eq1)\n\ntext")).text


def test_an_equation_ends_within_its_list_item():
    assert spoken("- $$a\n- b$$\n- c") == ["$$a", "b$$", "c"]


def test_spoken_equations_do_not_affect_later_quotes():
    pair = "$$x$$\n\n<yap-speak>x itself</yap-speak>\n\n"

    assert spoken(pair * 2 + "> first\n>\n> second\n>\n> third") == (
        ["x itself"] * 2 + ["first", "second", "third"]
    )


def test_the_description_of_an_image_is_spoken_and_its_address_kept():
    source = "![A cat](https://x.org/a.png?w=50&row=2&sig=a%2Fb)"
    (image,) = [fields for tag, fields in Page(to_blocks(source)).elements if tag == "img"]

    assert spoken(source) == ["A cat"]
    assert image["src"] == "https://x.org/a.png?w=50&row=2&sig=a%2Fb"
    assert (image["data-width"], image["data-row"]) == ("50", "2")


def test_an_image_without_description_is_silent():
    assert spoken("![](http://x.org/a.png)") == []
    assert kinds("![](http://x.org/a.png)") == ["image"]


def test_adjacent_images_are_separate_figures():
    source = "![one](http://x.org/1.png) ![two](http://x.org/2.png)"

    assert spoken(source) == ["one", "two"]
    assert html(source).count("<figure>") == 2


def test_sections_cover_the_blocks_in_order():
    document = to_blocks("# a\n\nb\n\n```\nc\n```\n\n- d\n- e")

    assert [(s.first_block, s.block_count) for s in document.sections] == [(0, 1), (1, 1), (2, 0), (2, 2)]


def test_a_block_that_contains_bold_text_has_several_spans():
    shown = html("some **bold** text")

    assert shown.count('data-block="0"') == 3
    assert Page(to_blocks("some **bold** text")).by_block == {0: "some bold text"}


def test_plain_text_is_not_parsed_as_markdown():
    document = to_blocks("# no *heading*\nsame\n\n<b>next</b>", markdown=False)

    assert document.blocks == ("# no *heading* same", "<b>next</b>")
    assert document.sections[1].html == (
        '<p><span class="block" data-block="1">&lt;b&gt;next&lt;/b&gt;</span></p>'
    )
