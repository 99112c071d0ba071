"""Lines of atoms -> blocks, and the HTML in which each block is a span."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from yapit.text import html
from yapit.text.html import Mark
from yapit.text.lines import Atom, Line
from yapit.text.splitting import split


@dataclass(slots=True)
class _Place:
    """Where an atom stands in the spoken text. `lead` characters of it are shown only."""

    atom: Atom
    start: int
    end: int
    lead: int = 0


class Speech:
    """Collects the blocks of one document. Not shared between threads, nor between documents."""

    def __init__(self) -> None:
        self.blocks: list[str] = []

    def say(self, line: Line) -> str:
        return self.say_joined([line])[0]

    def say_joined(self, lines: Sequence[Line]) -> list[str]:
        """Speak the lines as one text, and return the HTML of each."""
        spoken, places = _lay_out(lines)
        starts, numbers = self._number_chunks(spoken)
        return [html.spans(_segments(line, starts, numbers)) for line in places]

    def _number_chunks(self, spoken: str) -> tuple[list[int], list[int | None]]:
        starts: list[int] = []
        numbers: list[int | None] = []
        for start, end in split(spoken, first=not self.blocks) if spoken else ():
            chunk = unicodedata.normalize("NFC", spoken[start:end].strip())
            starts.append(start)
            numbers.append(len(self.blocks) if is_speakable(chunk) else None)
            if is_speakable(chunk):
                self.blocks.append(chunk)
        return starts, numbers


def is_speakable(text: str) -> bool:
    """False for what consists of punctuation only: no engine makes a sound of it."""
    return any(c.isalnum() or unicodedata.category(c) in ("So", "Sc") for c in text)


def _lay_out(lines: Sequence[Line]) -> tuple[str, list[list[_Place]]]:
    spoken: list[str] = []
    length = 0
    last = " "  # what the spoken text ends with: there is no space at its beginning, nor are there ever two
    places: list[list[_Place]] = []
    for line in lines:
        gap = False
        row: list[_Place] = []
        for atom in line:
            lead = 0
            if not atom.spoken:
                gap = gap or atom.apart
            elif atom.text:
                if (gap or atom.apart) and last.isalnum() and atom.text[0].isalnum():
                    spoken.append(" ")
                    length, last = length + 1, " "
                gap = atom.apart
                lead = 1 if last == " " and atom.text[0] == " " else 0
                spoken.append(atom.text[lead:])
                last = atom.text[-1]
            end = length + (len(atom.text) - lead if atom.spoken else 0)
            row.append(_Place(atom, length, end, lead))
            length = end
        if last != " ":
            spoken.append(" ")
            length, last = length + 1, " "
        places.append(row)
    return "".join(spoken).rstrip(), places


def _segments(
    row: list[_Place], starts: list[int], numbers: list[int | None]
) -> Iterator[tuple[int | None, tuple[Mark, ...], str]]:
    for place in row:
        atom = place.atom
        if not atom.shown:
            continue
        if atom.html is not None:
            block = _block_at(place.start, starts, numbers) if place.end > place.start else None
            yield block, atom.marks, atom.html
        elif place.end <= place.start:
            yield None, atom.marks, escape(atom.text)
        else:
            yield from _cut_up(place, starts, numbers)


def _cut_up(
    place: _Place, starts: list[int], numbers: list[int | None]
) -> Iterator[tuple[int | None, tuple[Mark, ...], str]]:
    atom = place.atom
    if place.lead:
        yield None, atom.marks, escape(atom.text[: place.lead])
    index = bisect_right(starts, place.start) - 1
    start = place.start
    while start < place.end and index >= 0:
        end = min(place.end, starts[index + 1] if index + 1 < len(starts) else place.end)
        shown = atom.text[start - place.start + place.lead : end - place.start + place.lead]
        yield numbers[index], atom.marks, escape(shown)
        start = end
        index += 1
    if index < 0:
        yield None, atom.marks, escape(atom.text[place.lead :])


def _block_at(position: int, starts: list[int], numbers: list[int | None]) -> int | None:
    index = bisect_right(starts, position) - 1
    return numbers[index] if index >= 0 else None
