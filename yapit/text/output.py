"""Output types of the transformation, and the estimate of speaking time."""

import unicodedata
from dataclasses import dataclass

ESTIMATED_CHARACTERS_PER_SECOND = 14
# A Chinese character or a Korean syllable takes about as long as three letters.
_WIDE_WEIGHT = 3


@dataclass(frozen=True, slots=True)
class Section:
    """A top-level element of the document. Without blocks, `first_block` is the index of the next block."""

    kind: str
    html: str
    first_block: int
    block_count: int


@dataclass(frozen=True, slots=True)
class Transformed:
    """A document's title, its blocks (the text of each), the pauses after them in ms, and its sections."""

    title: str | None
    blocks: tuple[str, ...]
    pauses: tuple[int, ...]
    sections: tuple[Section, ...]


def estimate_ms(text: str) -> int:
    """Estimated speaking time in milliseconds, independent of voice and engine."""
    letters = len(text)
    if not text.isascii():
        letters += (_WIDE_WEIGHT - 1) * sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return round(letters * 1000 / ESTIMATED_CHARACTERS_PER_SECOND)
