"""Markdown parser: CommonMark, tables, strikethrough, dollar maths and footnotes, in bounded time."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, html_block
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.dollarmath.index import math_inline_dollar
from mdit_py_plugins.footnote.index import footnote_def

from yapit.text import footnotes, tags

# Levels of lists and quotes (a list takes two). Deeper text becomes a paragraph of the last level.
MAX_DEPTH = 40
# The inline parser takes quadratic time in the worst case, so a longer paragraph is parsed in pieces, and a
# piece with more brackets than prose has remains text.
INLINE_PIECE = 6_000
BRACKETS_IN_PIECE = 400
MATH_LINES = 200

# An image inside the source. It is not shown, and its hundreds of kilobytes would fill many pieces.
_DATA_URL = re.compile(r"(\]\(\s*<?data:)[^\s)>]+", re.IGNORECASE)
_MATH_LINE = re.compile(r"\$\$(.+?)\$\$\s*(?:\(([^()]+)\))?\s*")
_MATH_END = re.compile(r"(.*?)\$\$\s*(?:\(([^()]+)\))?\s*")


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        """Accept every address, or the syntax would be spoken; `html` drops unsafe ones later."""
        return True


def parse(text: str) -> list[Token]:
    # A parser for each call (0.1 ms): the library fills its rule caches on first use, not thread-safely.
    return _parser().parse(text)


def _parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": True, "maxNesting": MAX_DEPTH + 20})
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.at("inline", _bounded_inline)
    parser.block.ruler.before("table", "too_deep", _too_deep)
    parser.block.ruler.before("fence", "math_block", _math_block)
    parser.block.ruler.before("reference", "footnote_def", footnote_def, {"alt": ["paragraph", "reference"]})
    parser.block.ruler.at("html_block", _html_block, {"alt": ["paragraph", "reference", "blockquote"]})
    parser.inline.ruler.before("escape", "math_inline", math_inline_dollar(False, False, True))
    parser.inline.ruler.after("image", "footnote_ref", footnotes.reference)
    return parser


def _bounded_inline(state: StateCore) -> None:
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = []
        for piece in _inline_pieces(_DATA_URL.sub(r"\1,", token.content)):
            if piece.count("[") > BRACKETS_IN_PIECE:
                token.children.append(Token("text", "", 0, content=piece))
            else:
                state.md.inline.parse(piece, state.md, state.env, token.children)


def _inline_pieces(content: str) -> Iterator[str]:
    start = 0
    while len(content) - start > INLINE_PIECE:
        latest = start + INLINE_PIECE
        ends = (content.rfind(mark, start + INLINE_PIECE // 2, latest) for mark in ("\n", ". ", " "))
        end = next((end + 1 for end in ends if end > 0), latest)
        yield content[start:end]
        start = end
    yield content[start:]


def _too_deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Block rule: beyond MAX_DEPTH everything is a paragraph, where the library would drop it."""
    if silent or state.level < MAX_DEPTH:
        return False
    line = start + 1
    while line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        line += 1
    content = state.getLines(start, line, state.blkIndent, False).strip()
    state.line = line
    state.push("paragraph_open", "p", 1)
    inline = state.push("inline", "", 0)
    inline.content, inline.children = content, []
    state.push("paragraph_close", "p", -1)
    return True


def _html_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Block rule: as in CommonMark, except that the tags of `yapit.text.tags` are inline everywhere."""
    first = state.bMarks[start] + state.tShift[start]
    if tags.starts_with_tag(state.src[first : first + 20]):
        return False
    return html_block(state, start, end, silent)


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Block rule: `$$ … $$` on one or several lines, with an optional `(label)` after it.

    The rule of the plugin reads past the end of a list item and searches the whole document for an end.
    """
    if state.is_code_block(start) or not _line(state, start).startswith("$$"):
        return False
    whole = _MATH_LINE.fullmatch(_line(state, start))
    formula = (whole[1], whole[2], start) if whole else _math_of_lines(state, start, end)
    if formula is None:
        return False
    if not silent:
        content, label, last = formula
        token = state.push("math_block", "math", 0)
        token.content, token.info, token.block = content.strip(), label or "", True
        state.line = last + 1
    return True


def _math_of_lines(state: StateBlock, start: int, end: int) -> tuple[str, str | None, int] | None:
    lines = [_line(state, start)[2:]]
    if "$$" in lines[0]:
        return None
    for number in range(start + 1, min(end, start + MATH_LINES)):
        if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
            return None
        closing = _MATH_END.fullmatch(_line(state, number))
        if closing:
            return "\n".join([*lines, closing[1]]), closing[2], number
        lines.append(_line(state, number))
    return None


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]
