"""Parser of the HTML of a transformed document, for tests."""

from collections import defaultdict
from html.parser import HTMLParser

from yapit.text import Transformed, to_blocks


class Page(HTMLParser):
    """The text of each block's spans, the whole text, and all elements of a document."""

    def __init__(self, document: Transformed) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.by_block: dict[int, str] = defaultdict(str)
        self._open: list[tuple[str, int | None]] = []
        self.feed("".join(section.html for section in document.sections))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        fields = dict(attrs)
        self.elements.append((tag, fields))
        if tag not in ("br", "hr", "img"):
            block = fields.get("data-block")
            self._open.append((tag, int(block) if block else None))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        self.text += data
        for _, block in self._open:
            if block is not None:
                self.by_block[block] += data


def spoken(source: str) -> list[str]:
    return list(to_blocks(source).blocks)


def kinds(source: str) -> list[str]:
    return [section.kind for section in to_blocks(source).sections]


def html(source: str) -> str:
    return "".join(section.html for section in to_blocks(source).sections)


def words(text: str) -> list[str]:
    return text.split()
