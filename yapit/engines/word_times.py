"""Word alignment: maps times of words as spoken ("May fifth") to words of the text ("05/05"). Pure."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise

Span = tuple[int, int]  # start and end, in any unit


def spans_of_words(
    words: Sequence[str], spoken: Sequence[str], spans: Sequence[Span | None]
) -> list[tuple[str, Span]]:
    """The audible words of the text in order, each with its time.

    `spoken` are the words as the engine expanded them and `spans` their times, None for a silent one. Words
    that both have in common are anchors; the time between two anchors is divided among the words there.
    """
    result: list[tuple[str, Span]] = []
    for first, last, spoken_first, spoken_last in _matches(words, spoken):
        part, part_spans = words[first:last], spans[spoken_first:spoken_last]
        if len(part) == len(part_spans):
            result += [(word, span) for word, span in zip(part, part_spans, strict=True) if span]
        else:
            result += _divided(part, [span for span in part_spans if span])
    return result


def _matches(words: Sequence[str], spoken: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Bounds of corresponding slices of both sequences."""
    folded_words, folded_spoken = [_folded(word) for word in words], [_folded(word) for word in spoken]
    if folded_words == folded_spoken:
        yield 0, len(words), 0, len(spoken)
        return
    for _, *bounds in SequenceMatcher(None, folded_words, folded_spoken, autojunk=False).get_opcodes():
        first, last, spoken_first, spoken_last = bounds
        yield first, last, spoken_first, spoken_last


def _folded(word: str) -> str:
    return word.replace("’", "'")


def _divided(words: Sequence[str], spans: Sequence[Span]) -> Iterator[tuple[str, Span]]:
    """Divide one stretch of time among words in proportion to their length; punctuation gets none."""
    if not spans:
        return
    readable = [word for word in words if any(map(str.isalnum, word))] or words
    start, length = spans[0][0], spans[-1][1] - spans[0][0]
    ends = list(accumulate((len(word) for word in readable), initial=0))
    cuts = [start + length * end // ends[-1] for end in ends] if readable else []
    yield from zip(readable, pairwise(cuts), strict=True)
