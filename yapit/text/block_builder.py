"""Block builder: lines of atoms to blocks, and to HTML in which each block is a span."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from yapit.text import html, pauses
from yapit.text.atoms import Atom, Line
from yapit.text.html import Mark
from yapit.text.splitting import split


@dataclass(slots=True)
class _Placement:
    """The position of an atom in the spoken text. Its first `lead` characters are shown only."""

    atom: Atom
    start: int
    end: int
    lead: int = 0


class BlockBuilder:
    """Collects the blocks of one document. Not thread-safe."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.pauses: list[int] = []  # after each block, in ms

    def add_line(self, line: Line, pause: int = pauses.PARAGRAPH) -> str:
        """Add a line as a separate text and return its HTML. `pause`: after its last block, in ms."""
        return self.add_lines([line], pause)[0]

    def add_lines(self, lines: Sequence[Line], pause: int) -> list[str]:
        """Add the lines as one text and return the HTML of each. `pause`: after each line, in ms."""
        layout = _Layout()
        rows = [layout.line(line) for line in lines]
        starts, numbers = self._number_chunks(layout, pause)
        return [html.spans(_segments(row, starts, numbers)) for row in rows]

    def lengthen_pause(self, pause: int) -> None:
        """After the last block so far there is at least this pause."""
        if self.pauses:
            self.pauses[-1] = max(self.pauses[-1], pause)

    def _number_chunks(self, layout: "_Layout", pause: int) -> tuple[list[int], list[int | None]]:
        starts: list[int] = []
        numbers: list[int | None] = []
        spoken = layout.text()
        begin = len(self.blocks)
        for start, end, ends_sentence in split(spoken, first=not self.blocks) if spoken else ():
            chunk = unicodedata.normalize("NFC", spoken[start:end].strip())
            starts.append(start)
            numbers.append(len(self.blocks) if is_speakable(chunk) else None)
            if is_speakable(chunk):
                self.blocks.append(chunk)
                self.pauses.append(0)
            if len(self.blocks) > begin:  # punctuation without words ends the block before it
                after = pauses.SENTENCE if ends_sentence else pauses.INSIDE_SENTENCE
                self.lengthen_pause(pause if end in layout.line_ends or end == len(spoken) else after)
        return starts, numbers


def is_speakable(text: str) -> bool:
    """False for punctuation only, which no engine speaks."""
    return any(c.isalnum() or unicodedata.category(c) in ("So", "Sc") for c in text)


class _Layout:
    """The spoken text of several lines, without leading or repeated spaces."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._last = " "
        self._gap = False
        self.line_ends: set[int] = set()

    def line(self, atoms: Line) -> list[_Placement]:
        row = [self._add_atom(atom) for atom in atoms]
        self._add_space()
        self._gap = False
        self.line_ends.add(self._length)
        return row

    def text(self) -> str:
        return "".join(self._parts).rstrip()

    def _add_atom(self, atom: Atom) -> _Placement:
        if not atom.spoken or not atom.text:
            self._gap = self._gap or atom.apart
            return _Placement(atom, self._length, self._length)
        if (self._gap or atom.apart) and self._last.isalnum() and atom.text[0].isalnum():
            self._add_space()
        self._gap = atom.apart
        lead = 1 if self._last == " " and atom.text[0] == " " else 0
        start = self._length
        self._append(atom.text[lead:])
        self._last = atom.text[-1]
        return _Placement(atom, start, self._length, lead)

    def _add_space(self) -> None:
        if self._last != " ":
            self._append(" ")
            self._last = " "

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def _segments(
    row: list[_Placement], starts: list[int], numbers: list[int | None]
) -> Iterator[tuple[int | None, tuple[Mark, ...], str]]:
    for placement in row:
        atom = placement.atom
        if not atom.shown:
            continue
        if atom.html is not None:
            block = _block_at(placement.start, starts, numbers) if placement.end > placement.start else None
            yield block, atom.marks, atom.html
        elif placement.end <= placement.start:
            yield None, atom.marks, escape(atom.text)
        else:
            yield from _shown_parts(placement, starts, numbers)


def _shown_parts(
    placement: _Placement, starts: list[int], numbers: list[int | None]
) -> Iterator[tuple[int | None, tuple[Mark, ...], str]]:
    atom = placement.atom
    if placement.lead:
        yield None, atom.marks, escape(atom.text[: placement.lead])
    index = bisect_right(starts, placement.start) - 1
    start = placement.start
    while start < placement.end and index >= 0:
        end = min(placement.end, starts[index + 1] if index + 1 < len(starts) else placement.end)
        shown = atom.text[start - placement.start + placement.lead : end - placement.start + placement.lead]
        yield numbers[index], atom.marks, escape(shown)
        start = end
        index += 1
    if index < 0:
        yield None, atom.marks, escape(atom.text[placement.lead :])


def _block_at(position: int, starts: list[int], numbers: list[int | None]) -> int | None:
    index = bisect_right(starts, position) - 1
    return numbers[index] if index >= 0 else None
