"""Inline Markdown to atoms: pieces of a line, each spoken or silent, shown or hidden, in one style."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from markdown_it.token import Token

from yapit.text import html
from yapit.text.cleaning import one_line
from yapit.text.html import Mark
from yapit.text.tags import paired_tag

MAX_STYLE_DEPTH = 16  # browsers limit the depth of elements
CAPTION: Mark = ('<span class="caption">', "</span>")

_STYLES: dict[str, Mark] = {
    "strong": ("<strong>", "</strong>"),
    "em": ("<em>", "</em>"),
    "s": ("<s>", "</s>"),
}
_CODE: Mark = ("<code>", "</code>")


@dataclass(slots=True)
class Atom:
    """A piece of a line. `html`, if set, is shown instead of `text`; `apart`: always a separate word."""

    text: str
    spoken: bool = True
    shown: bool = True
    marks: tuple[Mark, ...] = ()
    html: str | None = None
    apart: bool = False
    is_image: bool = False
    is_break: bool = False


Line = list[Atom]


class LineReader:
    """Reads the lines of one container (the body, or one footnote) in order.

    Holds the state of tags, which may open in one paragraph and close in a later one.
    """

    def __init__(self, footnote_numbers: dict[str, int]) -> None:
        self._numbers = footnote_numbers
        self._modes: list[str] = []

    @property
    def hidden(self) -> bool:
        return self._mode() == "speak"

    def line(self, token: Token) -> Line:
        atoms: Line = []
        marks: list[Mark | None] = []
        for child in token.children or ():
            self._read(child, atoms, marks)
        return atoms

    def _mode(self) -> str:
        return next((mode for mode in reversed(self._modes) if mode != "cap"), "")

    def _read(self, token: Token, atoms: Line, marks: list[Mark | None]) -> None:
        style = token.type.removesuffix("_open").removesuffix("_close")
        if style in _STYLES or style == "link":
            if token.nesting > 0:
                marks.append(_mark_of(style, token) if len(marks) < MAX_STYLE_DEPTH else None)
            elif marks:
                marks.pop()
            return
        if token.type == "html_inline":
            self._tag(token, atoms)
            return
        atom = self._atom(token)
        caption = [CAPTION] if "cap" in self._modes else []
        atom.marks = tuple(mark for mark in [*caption, *marks, *atom.marks] if mark)
        atom.shown = atom.shown and self._mode() != "speak"
        atom.spoken = atom.spoken and self._mode() != "show"
        atom.apart = atom.apart or not atom.shown
        atoms.append(atom)

    def _atom(self, token: Token) -> Atom:
        match token.type:
            case "softbreak":
                return Atom(" ", is_break=True)
            case "hardbreak":
                return Atom(" ", html="<br>", is_break=True)
            case "code_inline":
                return Atom(one_line(token.content), marks=(_CODE,))
            case "image":
                alt = one_line(plain_text(token.children or ())).strip()
                picture = html.image(str(token.attrGet("src") or ""), alt)
                return Atom(alt, html=picture, apart=True, is_image=True)
            case "math_inline" | "math_inline_double":
                return Atom(one_line(token.content), spoken=False, html=math(token.content), apart=True)
            case "footnote_ref":
                return Atom("", spoken=False, html=self._footnote_mark(token.meta["label"]))
            case _:
                return Atom(one_line(token.content))

    def _tag(self, token: Token, atoms: Line) -> None:
        tag = paired_tag(token)
        if tag is None:
            return
        name, opens = tag
        if opens:
            self._modes.append(name)
        else:
            # The last of its name: tags of different names may overlap.
            del self._modes[len(self._modes) - 1 - self._modes[::-1].index(name)]
        if name == "cap" and not opens:
            _silence_captioned_image(atoms)

    def _footnote_mark(self, label: str) -> str:
        number = self._numbers.get(label)
        if number is None:
            return ""
        return f'<sup class="footnote-ref"><a href="#fn-{number}">{escape(label)}</a></sup>'


def math(content: str, label: str = "") -> str:
    note = f' <span class="math-label">({escape(label)})</span>' if label else ""
    return f'<span class="math" role="math">{escape(content.strip())}</span>{note}'


def plain_text(tokens: Iterable[Token]) -> str:
    """The text of inline tokens, without styles."""
    words = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif token.type in ("text", "code_inline", "text_special"):
            words.append(token.content)
        elif token.type == "image":
            words.append(plain_text(token.children or ()))
    return "".join(words)


def _mark_of(style: str, token: Token) -> Mark | None:
    return html.link_mark(str(token.attrGet("href") or "")) if style == "link" else _STYLES[style]


def _silence_captioned_image(atoms: Line) -> None:
    """A caption with words is spoken instead of the image's description."""
    has_words = False
    for atom in reversed(atoms):
        if CAPTION in atom.marks and not atom.is_image:
            has_words = has_words or bool(atom.spoken and atom.text.strip())
        elif atom.is_image:
            atom.spoken = atom.spoken and not has_words
            return
        elif atom.text.strip():
            return
