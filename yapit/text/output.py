"""What a document becomes: blocks to speak and sections to show."""

import unicodedata
from dataclasses import dataclass

ESTIMATED_CHARACTERS_PER_SECOND = 14
# A Chinese character or a Korean syllable takes about as long as three letters.
_WIDE_WEIGHT = 3


@dataclass(frozen=True, slots=True)
class Section:
    """One top-level piece of the page. `first_block` is the next index if the section has no block."""

    kind: str
    html: str
    first_block: int
    block_count: int


@dataclass(frozen=True, slots=True)
class Transformed:
    title: str | None
    blocks: tuple[str, ...]
    sections: tuple[Section, ...]


def estimate_ms(text: str) -> int:
    """How long the text will probably take to speak, before any engine has seen it."""
    letters = len(text)
    if not text.isascii():
        letters += (_WIDE_WEIGHT - 1) * sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return round(letters * 1000 / ESTIMATED_CHARACTERS_PER_SECOND)
