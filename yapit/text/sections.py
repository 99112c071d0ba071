"""Section writer: the tree of a document to sections, in reading order."""

from collections.abc import Callable, Sequence
from html import escape

from yapit.text import callouts, html, pauses
from yapit.text.atoms import CAPTION, Line, LineReader, math
from yapit.text.block_builder import BlockBuilder
from yapit.text.output import Section
from yapit.text.tree import Node

_KINDS = {
    "heading": "heading",
    "bullet_list": "list",
    "ordered_list": "list",
    "blockquote": "quote",
    "fence": "code",
    "code_block": "code",
    "table": "table",
    "math_block": "math",
    "hr": "rule",
}
_FIGCAPTION = ("<figcaption>", "</figcaption>")


class SectionWriter:
    """Writes one container after the other; block numbers continue through all of them."""

    def __init__(self, footnote_numbers: dict[str, int]) -> None:
        self.builder = BlockBuilder()
        self.sections: list[Section] = []
        self.heading = ""
        self._numbers = footnote_numbers
        self._lines = LineReader(footnote_numbers)
        self._kind = "paragraph"
        self._writers: dict[str, Callable[[Node], str]] = {
            "heading": self._heading,
            "paragraph": self._paragraph,
            "bullet_list": self._list,
            "ordered_list": self._list,
            "blockquote": self._quote,
            "fence": self._code,
            "code_block": self._code,
            "table": self._table,
            "math_block": self._math,
            "hr": self._rule,
        }

    def write(self, body: list[Node], footnotes: dict[str, Node]) -> None:
        for node in body:
            self._kind = _KINDS.get(node.type, "paragraph")
            start = len(self.builder.blocks)
            self._add(self._write(node), start)
        if footnotes:
            self._kind = "footnotes"
            start = len(self.builder.blocks)
            self._add(self._footnotes(footnotes), start)

    def _add(self, content: str, start: int) -> None:
        count = len(self.builder.blocks) - start
        if not content and count and self.sections:
            # Spoken text without anything shown belongs to the previous section.
            previous = self.sections[-1]
            merged = previous.block_count + count
            self.sections[-1] = Section(previous.kind, previous.html, previous.first_block, merged)
        elif content or count:
            self.sections.append(Section(self._kind, content, start, count))

    def _write(self, node: Node) -> str:
        writer = self._writers.get(node.type)
        return writer(node) if writer else ""

    def _flow(self, nodes: Sequence[Node]) -> str:
        return "".join(map(self._write, nodes))

    def _joined_flow(self, nodes: Sequence[Node], pause: int) -> str:
        """Like _flow, but consecutive paragraphs are spoken as one text, with `pause` after each."""
        out: list[str] = []
        pending: list[tuple[Node, Line]] = []
        for node in nodes:
            if node.type == "paragraph":
                line = self._line(node)
                if not is_images_only(line):
                    pending.append((node, line))
                    continue
                out.append(self._write_paragraphs(pending, pause) + self._images(line))
            else:
                out.append(self._write_paragraphs(pending, pause) + self._write(node))
            pending = []
        out.append(self._write_paragraphs(pending, pause))
        return "".join(out)

    def _write_paragraphs(self, pending: list[tuple[Node, Line]], pause: int) -> str:
        contents = self.builder.add_lines([line for _, line in pending], pause)
        return "".join(
            content if node.token.hidden else html.wrap("p", content)
            for (node, _), content in zip(pending, contents, strict=True)
        )

    def _line(self, node: Node) -> Line:
        return [atom for child in node.children for atom in self._lines.line(child.token)]

    def _heading(self, node: Node) -> str:
        line = self._line(node)
        self.heading = self.heading or "".join(atom.text for atom in line if atom.shown).strip()
        if node.token.tag == "h1" and node.token.level == 0:
            self.builder.lengthen_pause(pauses.CHAPTER)
        return html.wrap(node.token.tag, self.builder.add_line(line, pauses.HEADING))

    def _paragraph(self, node: Node) -> str:
        line = self._line(node)
        if is_images_only(line):
            if self._kind == "paragraph":
                self._kind = "image"
            return self._images(line)
        return html.wrap("p", self.builder.add_line(line).strip())

    def _images(self, line: Line) -> str:
        figures: list[Line] = []
        for atom in line:
            if atom.is_image or not figures:
                figures.append([])
            atom.marks = tuple(_FIGCAPTION if mark == CAPTION else mark for mark in atom.marks)
            figures[-1].append(atom)
        return "".join(html.wrap("figure", self.builder.add_line(figure).strip()) for figure in figures)

    def _list(self, node: Node) -> str:
        items = "".join(
            html.wrap("li", self._joined_flow(item.children, pauses.LIST_ITEM)) for item in node.children
        )
        start = node.token.attrGet("start")
        attributes = f' start="{int(start)}"' if isinstance(start, int) else ""
        return html.wrap(node.token.tag, items, attributes)

    def _quote(self, node: Node) -> str:
        callout = self._callout(node)
        return callout if callout is not None else html.wrap("blockquote", self._flow(node.children))

    def _callout(self, node: Node) -> str | None:
        first = node.children[0] if node.children else None
        tokens = first.children[0].token.children if first and first.type == "paragraph" else None
        head = callouts.head_of(tokens[0].content) if tokens and tokens[0].type == "text" else None
        if first is None or not tokens or head is None:
            return None
        if self._kind == "quote":
            self._kind = "callout"
        kind, tokens[0].content = head
        title, body = _split_at_break(self._line(first))
        content = html.wrap("p", self.builder.add_line(title).strip(), ' class="callout-title"')
        content += html.wrap("p", self.builder.add_line(body).strip()) + self._flow(node.children[1:])
        colour = callouts.colour_of(kind)
        attributes = f' class="callout callout-{colour}" data-callout="{escape(kind)}"'
        return f"<aside{attributes}>{content}</aside>"

    def _code(self, node: Node) -> str:
        language = node.token.info.split(maxsplit=1)[0] if node.token.info.strip() else ""
        attributes = f' data-language="{escape(language)}"' if language else ""
        return self._shown(f"<pre><code{attributes}>{escape(node.token.content)}</code></pre>")

    def _math(self, node: Node) -> str:
        return self._shown(f'<div class="math-block">{math(node.token.content, node.token.info)}</div>')

    def _rule(self, node: Node) -> str:
        self.builder.lengthen_pause(pauses.CHAPTER)
        return self._shown("<hr>")

    def _table(self, node: Node) -> str:
        rows = (html.wrap(part.token.tag, "".join(map(self._row, part.children))) for part in node.children)
        return self._shown(f"<table>{''.join(rows)}</table>")

    def _row(self, row: Node) -> str:
        return f"<tr>{''.join(map(self._cell, row.children))}</tr>"

    def _cell(self, cell: Node) -> str:
        line = self._line(cell)
        for atom in line:
            atom.spoken = False
        style = str(cell.token.attrGet("style") or "")
        align = style.removeprefix("text-align:")
        attributes = f' data-align="{escape(align)}"' if align else ""
        tag = cell.token.tag
        return f"<{tag}{attributes}>{self.builder.add_line(line)}</{tag}>"

    def _shown(self, content: str) -> str:
        return "" if self._lines.hidden else content

    def _footnotes(self, footnotes: dict[str, Node]) -> str:
        items = []
        for label, node in footnotes.items():
            self._lines = LineReader(self._numbers)
            content = self._joined_flow(node.children, pauses.PARAGRAPH)
            number = self._numbers[label]
            items.append(f'<li id="fn-{number}" data-label="{escape(label)}">{content}</li>')
        return f'<ol class="footnotes">{"".join(items)}</ol>'


def is_images_only(line: Line) -> bool:
    """True if the line consists of images and their captions."""
    return any(atom.is_image for atom in line) and all(
        atom.is_image or CAPTION in atom.marks or not atom.text.strip() for atom in line
    )


def _split_at_break(line: Line) -> tuple[Line, Line]:
    for number, atom in enumerate(line):
        if atom.is_break:
            return line[:number], line[number + 1 :]
    return line, []
