"""Gives the text's own words their times, although the engine says "May fifth" for "05/05". Pure."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise

Span = tuple[int, int]  # start and end, in any unit


def spans_of_words(
    words: Sequence[str], said: Sequence[str], spans: Sequence[Span | None]
) -> list[tuple[str, Span]]:
    """Words of the text that were heard, in order, each with its time.

    `said` are the words as the engine read them and `spans` when; None for one that makes no sound. What both
    have in common anchors the rest: between two anchors the time that was spent is shared out.
    """
    found: list[tuple[str, Span]] = []
    for first, last, said_first, said_last in _matches(words, said):
        some, heard = words[first:last], spans[said_first:said_last]
        if len(some) == len(heard):
            found += [(word, span) for word, span in zip(some, heard, strict=True) if span]
        else:
            found += _shared(some, [span for span in heard if span])
    return found


def _matches(words: Sequence[str], said: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    ours, theirs = [_folded(word) for word in words], [_folded(word) for word in said]
    if ours == theirs:
        yield 0, len(ours), 0, len(theirs)
        return
    for _, *bounds in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        first, last, said_first, said_last = bounds
        yield first, last, said_first, said_last


def _folded(word: str) -> str:
    return word.replace("’", "'")


def _shared(words: Sequence[str], heard: Sequence[Span]) -> Iterator[tuple[str, Span]]:
    """Share one stretch of time among words by their length; signs between words get none."""
    if not heard:
        return
    readable = [word for word in words if any(map(str.isalnum, word))] or words
    start, length = heard[0][0], heard[-1][1] - heard[0][0]
    ends = list(accumulate((len(word) for word in readable), initial=0))
    cuts = [start + length * end // ends[-1] for end in ends] if readable else []
    yield from zip(readable, pairwise(cuts), strict=True)
