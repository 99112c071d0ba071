"""Lines of atoms -> blocks, and the HTML in which each block is a span."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from yapit.text import html
from yapit.text.atoms import Atom, Line
from yapit.text.html import Mark
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
        layout = _Layout()
        rows = [layout.line(line) for line in lines]
        starts, numbers = self._number_chunks(layout.text())
        return [html.spans(_segments(row, starts, numbers)) for row in rows]

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


class _Layout:
    """The spoken text as it grows. It begins with no space, and never has two in a row."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._last = " "
        self._gap = False

    def line(self, atoms: Line) -> list[_Place]:
        row = [self._place(atom) for atom in atoms]
        self._space()
        self._gap = False
        return row

    def text(self) -> str:
        return "".join(self._parts).rstrip()

    def _place(self, atom: Atom) -> _Place:
        if not atom.spoken or not atom.text:
            self._gap = self._gap or atom.apart
            return _Place(atom, self._length, self._length)
        if (self._gap or atom.apart) and self._last.isalnum() and atom.text[0].isalnum():
            self._space()
        self._gap = atom.apart
        lead = 1 if self._last == " " and atom.text[0] == " " else 0
        start = self._length
        self._append(atom.text[lead:])
        self._last = atom.text[-1]
        return _Place(atom, start, self._length, lead)

    def _space(self) -> None:
        if self._last != " ":
            self._append(" ")
            self._last = " "

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


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
