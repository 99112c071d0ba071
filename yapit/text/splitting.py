"""Splitting of spoken text into chunks: short enough for a fast start, long enough for natural prosody."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from yapit.text.sentences import sentence_ends, sentences

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


class Span(NamedTuple):
    """A part of a text; `ends_sentence`: not cut inside a sentence at its end."""

    start: int
    end: int
    ends_sentence: bool


def split(text: str, *, first: bool = False) -> list[Span]:
    """Split a text whose only white space is single spaces into spans that cover it without gaps.

    A span has at most LIMIT characters, without the space at its end. With `first` the first span is short.
    """
    head = _first_span(text) if first else None
    spans, start = ([head], head.end) if head else ([], 0)
    if _width(text, start, len(text)) <= TARGET:
        return [*spans, Span(start, len(text), True)] if start < len(text) else spans
    return spans + _merge(text, _pack(text, _pieces(text, start)))


def _width(text: str, start: int, end: int) -> int:
    return end - start - (end > start and text[end - 1] == " ")


def _first_span(text: str) -> Span | None:
    """A short first block, or None if the text is short anyway or has no suitable place."""
    if len(text) <= FIRST_BLOCK:
        return None
    window = text[: 2 * FIRST_BLOCK]
    ends = [end for end in sentence_ends(window)[:-1] if SHORTEST_FIRST <= end <= FIRST_BLOCK + 1]
    if ends:
        return Span(0, next((end for end in ends if end >= SHORTEST), ends[-1]), True)
    marks = [match.end() for match in _CLAUSE_MARK.finditer(window, 0, FIRST_BLOCK + 1)]
    suitable = [end for end in marks if end >= SHORTEST and len(text) - end >= SHORTEST]
    return Span(0, _past_space(text, suitable[-1]), False) if suitable else None


def _pieces(text: str, start: int) -> Iterator[Span]:
    """The sentences; those above LIMIT in several pieces."""
    offset = start
    for end, is_end in sentences(text[offset:]):
        piece = Span(start, offset + end, is_end)
        if _width(text, piece.start, piece.end) > LIMIT:
            yield from _cut(text, piece)
        else:
            yield piece
        start = offset + end


def _cut(text: str, sentence: Span) -> Iterator[Span]:
    start, end, is_end = sentence
    while _width(text, start, end) > TARGET:
        piece = _cut_off(text, sentence._replace(start=start))
        yield piece
        start = piece.end
    if start < end:
        yield Span(start, end, is_end)


def _cut_off(text: str, sentence: Span) -> Span:
    """Cut at the best place within TARGET: after a quoted sentence, a clause, a word, or any letter."""
    start, end, _ = sentence
    for mark in (_SENTENCE_MARK, _CLAUSE_MARK):
        places = _places(mark, text, start)
        suitable = [place for place in places if place - start >= SHORTEST and end - place >= SHORTEST]
        if suitable:
            return Span(start, _past_space(text, suitable[-1]), mark is _SENTENCE_MARK)
    if places:
        return Span(start, _past_space(text, places[-1]), False)
    place = text.rfind(" ", start, start + TARGET + 1)
    if place <= start:
        place = _between_letters(text, start, start + TARGET)
    return sentence if _width(text, place, end) < SHORTEST else Span(start, _past_space(text, place), False)


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
    packed: Span | None = None
    for piece in pieces:
        if packed is None:
            packed = piece
        elif _width(text, packed.start, piece.end) > TARGET:
            yield packed
            packed = piece
        else:
            packed = piece._replace(start=packed.start)
    if packed is not None:
        yield packed


def _merge(text: str, spans: Iterable[Span]) -> list[Span]:
    """Join spans below SHORTEST to their neighbours, up to LIMIT."""
    merged: list[Span] = []
    for span in spans:
        if merged and _width(text, merged[-1].start, span.end) <= LIMIT:
            previous = merged[-1]
            if min(_width(text, *span[:2]), _width(text, *previous[:2])) < SHORTEST:
                merged[-1] = span._replace(start=previous.start)
                continue
        merged.append(span)
    return merged
