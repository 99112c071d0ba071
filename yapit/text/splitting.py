"""Splitting of spoken text into chunks: short enough for a fast start, long enough for natural prosody."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from yapit.text.sentences import sentence_ends

Span = tuple[int, int]

# Characters. Sentences are packed up to TARGET; a single sentence may reach LIMIT before it is cut.
TARGET = 250
LIMIT = 325
SHORTEST = 40
# The listener waits for the first block of a document: it ends at the first suitable place within this.
FIRST_BLOCK = 100
SHORTEST_FIRST = 20

_CLOSING = "[\"'”’»)\\]}」』）》】]"
_SENTENCE_MARK = re.compile(rf"[.!?…]{_CLOSING}*(?=\s)|[。！？｡．।॥؟۔።។။]{_CLOSING}*")
# A comma without a space after it is part of a number, a colon part of a time or an address.
_CLAUSE_MARK = re.compile(rf"[,:;–]{_CLOSING}?(?=\s)|[—，、；：،؛]{_CLOSING}?")


def split(text: str, *, first: bool = False) -> list[Span]:
    """Split a text whose only white space is single spaces into spans that cover it without gaps.

    A span has at most LIMIT characters, without the space at its end. With `first` the first span is short.
    """
    head = _first_end(text) if first else 0
    spans = [(0, head)] if head else []
    if _width(text, head, len(text)) <= TARGET:
        return [*spans, (head, len(text))] if head < len(text) else spans
    return spans + list(_merge(text, _pack(text, _pieces(text, head))))


def _width(text: str, start: int, end: int) -> int:
    return end - start - (end > start and text[end - 1] == " ")


def _first_end(text: str) -> int:
    """The end of a short first block, or 0 if the text is short anyway or has no suitable place."""
    if len(text) <= FIRST_BLOCK:
        return 0
    window = text[: 2 * FIRST_BLOCK]
    ends = [end for end in sentence_ends(window)[:-1] if SHORTEST_FIRST <= end <= FIRST_BLOCK + 1]
    if ends:
        return next((end for end in ends if end >= SHORTEST), ends[-1])
    marks = [match.end() for match in _CLAUSE_MARK.finditer(window, 0, FIRST_BLOCK + 1)]
    suitable = [end for end in marks if end >= SHORTEST and len(text) - end >= SHORTEST]
    return _past_space(text, suitable[-1]) if suitable else 0


def _pieces(text: str, start: int) -> Iterator[Span]:
    """The sentences; those above LIMIT in several pieces."""
    offset = start
    for end in sentence_ends(text[offset:]):
        if _width(text, start, offset + end) > LIMIT:
            yield from _cut(text, start, offset + end)
        else:
            yield start, offset + end
        start = offset + end


def _cut(text: str, start: int, end: int) -> Iterator[Span]:
    while _width(text, start, end) > TARGET:
        cut = _cut_end(text, start, end)
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _cut_end(text: str, start: int, end: int) -> int:
    """The best place within TARGET: the end of a quoted sentence, of a clause, of a word, or any letter."""
    for mark in (_SENTENCE_MARK, _CLAUSE_MARK):
        places = _places(mark, text, start)
        suitable = [place for place in places if place - start >= SHORTEST and end - place >= SHORTEST]
        if suitable:
            return _past_space(text, suitable[-1])
    if places:
        return _past_space(text, places[-1])
    place = text.rfind(" ", start, start + TARGET + 1)
    if place <= start:
        place = _between_letters(text, start, start + TARGET)
    return end if _width(text, place, end) < SHORTEST else _past_space(text, place)


def _places(mark: re.Pattern[str], text: str, start: int) -> list[int]:
    ends = (match.end() for match in mark.finditer(text, start, start + TARGET + 1))
    return [end for end in ends if end - start <= TARGET]


def _past_space(text: str, place: int) -> int:
    return place + (text[place : place + 1] == " ")


def _between_letters(text: str, start: int, place: int) -> int:
    """The last place at or before `place` that separates no combining mark or joined emoji from its base."""
    for earlier in range(place, max(start, place - 20), -1):
        if not (unicodedata.category(text[earlier])[0] == "M" or "\u200d" in text[earlier - 1 : earlier + 1]):
            return earlier
    return place


def _pack(text: str, pieces: Iterable[Span]) -> Iterator[Span]:
    """Join consecutive pieces up to TARGET."""
    start = end = -1
    for piece_start, piece_end in pieces:
        if start >= 0 and _width(text, start, piece_end) > TARGET:
            yield start, end
            start = -1
        start = piece_start if start < 0 else start
        end = piece_end
    if start >= 0:
        yield start, end


def _merge(text: str, spans: Iterable[Span]) -> list[Span]:
    """Join spans below SHORTEST to their neighbours, up to LIMIT."""
    merged: list[Span] = []
    for start, end in spans:
        if merged and _width(text, merged[-1][0], end) <= LIMIT:
            previous = merged[-1]
            if min(_width(text, start, end), _width(text, *previous)) < SHORTEST:
                merged[-1] = (previous[0], end)
                continue
        merged.append((start, end))
    return merged
