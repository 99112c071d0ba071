"""The document that every installation begins with."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

import yapit
from tests.yapit.text.page import Page
from yapit.text import to_blocks
from yapit.text.splitting import FIRST_BLOCK

FOLDER = Path(yapit.__file__).parent


@pytest.fixture(scope="module")
def welcome():
    return to_blocks((FOLDER / "seeding" / "welcome.md").read_text(encoding="utf-8"))


def test_it_is_long_enough_to_try_everything_on(welcome):
    assert len(welcome.blocks) >= 120
    assert welcome.title == "Welcome to Yapit"
    assert len(welcome.blocks[0]) <= FIRST_BLOCK


def test_every_kind_of_section_is_in_it(welcome):
    kinds = {section.kind for section in welcome.sections}

    assert kinds >= {"heading", "paragraph", "list", "quote", "callout", "code", "table", "math", "image"}
    assert kinds >= {"rule", "footnotes"}


@pytest.mark.parametrize(
    "tag", ["strong", "em", "s", "code", "a", "ul", "ol", "img", "figcaption", "sup", "aside"]
)
def test_every_element_is_in_it(welcome, tag):
    assert tag in {name for name, _ in Page(welcome).elements}


def test_lists_are_nested_in_it(welcome):
    assert any("<li>" in s.html and s.html.count("<ol>") + s.html.count("<ul>") > 1 for s in welcome.sections)


def test_all_three_tags_are_in_it(welcome):
    shown = Page(welcome).text
    spoken = " ".join(welcome.blocks)

    assert "which you can see but did not hear" in shown
    assert "which you can see but did not hear" not in spoken
    assert "energy equals mass" in spoken
    assert "energy equals mass" not in shown
    assert "Red is what a listener waits for" in spoken


def test_other_scripts_are_in_it_in_a_few_blocks_only(welcome):
    foreign = [block for block in welcome.blocks if sum(ord(c) > 0x2FF and c.isalpha() for c in block) > 3]

    assert 4 <= len(foreign) <= 8


def test_every_block_holds_some_english(welcome):
    assert all(any(c.isascii() and c.isalpha() for c in block) for block in welcome.blocks)


def test_no_markup_is_read_aloud(welcome):
    assert not [
        block for block in welcome.blocks if any(mark in block for mark in ("**", "](", "<yap", "[!", "[^"))
    ]


def test_its_picture_exists_and_loads_nothing():
    picture = (FOLDER / "web/static/yapit/three-paths.svg").read_text(encoding="utf-8")

    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "href" not in picture
