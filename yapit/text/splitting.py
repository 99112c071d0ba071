"""One spoken text -> chunks of a size that is heard soon and still sounds whole."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from yapit.text.sentences import sentence_ends

Span = tuple[int, int]

# Characters. Sentences are packed up to TARGET; a single sentence may reach LIMIT before it is cut.
TARGET = 250
LIMIT = 325
SHORTEST = 40
# The first block of a document is what the listener waits for: it ends at the first fair place within this.
FIRST_BLOCK = 100
SHORTEST_FIRST = 20

_CLOSING = "[\"'”’»)\\]}」』）》】]"
_SENTENCE_MARK = re.compile(rf"[.!?…]{_CLOSING}*(?=\s)|[。！？｡．।॥؟۔።។။]{_CLOSING}*")
# A comma without a space behind it belongs to a number, a colon to a time or an address.
_CLAUSE_MARK = re.compile(rf"[,:;–]{_CLOSING}?(?=\s)|[—，、；：،؛]{_CLOSING}?")


def split(text: str, *, first: bool = False) -> list[Span]:
    """Cut a text whose only white space is single spaces into spans that cover it without gaps.

    A span is at most LIMIT characters, the space at its end not counted. With `first` the first one is short.
    """
    head = _first_end(text) if first else 0
    spans = [(0, head)] if head else []
    if _width(text, head, len(text)) <= TARGET:
        return [*spans, (head, len(text))] if head < len(text) else spans
    return spans + list(_merge(text, _pack(text, _pieces(text, head))))


def _width(text: str, start: int, end: int) -> int:
    return end - start - (end > start and text[end - 1] == " ")


def _first_end(text: str) -> int:
    """Where a short first block may end, or 0 if it is short anyhow or no place is fair."""
    if len(text) <= FIRST_BLOCK:
        return 0
    window = text[: 2 * FIRST_BLOCK]
    ends = [end for end in sentence_ends(window)[:-1] if SHORTEST_FIRST <= end <= FIRST_BLOCK + 1]
    if ends:
        return next((end for end in ends if end >= SHORTEST), ends[-1])
    marks = [match.end() for match in _CLAUSE_MARK.finditer(window, 0, FIRST_BLOCK + 1)]
    fair = [end for end in marks if end >= SHORTEST and len(text) - end >= SHORTEST]
    return _past_space(text, fair[-1]) if fair else 0


def _pieces(text: str, start: int) -> Iterator[Span]:
    """Sentences, those that are too long in pieces."""
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
    """The best place within TARGET: a sentence inside quotes, a clause, a space, or wherever it must be."""
    for mark in (_SENTENCE_MARK, _CLAUSE_MARK):
        places = _places(mark, text, start)
        fair = [place for place in places if place - start >= SHORTEST and end - place >= SHORTEST]
        if fair:
            return _past_space(text, fair[-1])
    if places:
        return _past_space(text, places[-1])
    place = text.rfind(" ", start, start + TARGET + 1)
    if place <= start:
        place = _between_letters(text, start, start + TARGET)
    return end if _width(text, place, end) < SHORTEST else _past_space(text, place)


def _places(mark: re.Pattern[str], text: str, start: int) -> list[int]:
    found = (match.end() for match in mark.finditer(text, start, start + TARGET + 1))
    return [place for place in found if place - start <= TARGET]


def _past_space(text: str, place: int) -> int:
    return place + (text[place : place + 1] == " ")


def _between_letters(text: str, start: int, place: int) -> int:
    """Step back over marks that belong to the letter before them, such as Hindi vowels or joined emoji."""
    for earlier in range(place, max(start, place - 20), -1):
        if not (unicodedata.category(text[earlier])[0] == "M" or "\u200d" in text[earlier - 1 : earlier + 1]):
            return earlier
    return place


def _pack(text: str, pieces: Iterable[Span]) -> Iterator[Span]:
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
    """Give what is too short to stand alone to its neighbour, as far as LIMIT allows."""
    merged: list[Span] = []
    for start, end in spans:
        if merged and _width(text, merged[-1][0], end) <= LIMIT:
            before = merged[-1]
            if min(_width(text, start, end), _width(text, *before)) < SHORTEST:
                merged[-1] = (before[0], end)
                continue
        merged.append((start, end))
    return merged
