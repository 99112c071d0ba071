"""Transformation of Markdown or plain text to blocks and sections."""

import re
from collections.abc import Sequence

from yapit.text import footnotes, html, tags
from yapit.text.atoms import Atom
from yapit.text.block_builder import BlockBuilder
from yapit.text.cleaning import clean, one_line
from yapit.text.markdown import parse
from yapit.text.output import Section, Transformed
from yapit.text.sections import SectionWriter
from yapit.text.tree import build, inlines

TITLE_LENGTH = 80
# The Markdown parser takes time for each line. A document with more lines is treated as plain text.
MAX_MARKDOWN_LINES = 50_000

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def to_blocks(source: str, *, markdown: bool = True) -> Transformed:
    """Transform a document. Pure. Takes up to seconds of CPU time: not for event loops."""
    text = clean(source)
    if markdown and text.count("\n") <= MAX_MARKDOWN_LINES:
        return _from_markdown(text)
    return _from_plain(text)


def _from_markdown(text: str) -> Transformed:
    body, definitions = build(parse(text))
    used = footnotes.used(body, definitions)
    tags.pair(inlines(body))
    for definition in used.values():
        tags.pair(inlines([definition]))
    writer = SectionWriter({label: number for number, label in enumerate(used, start=1)})
    writer.write(body, used)
    return _transformed(writer.heading, writer.builder, writer.sections)


def _from_plain(text: str) -> Transformed:
    builder = BlockBuilder()
    sections = []
    for paragraph in _BLANK_LINES.split(text):
        start = len(builder.blocks)
        content = builder.add_line([Atom(one_line(paragraph).strip())])
        if content:
            count = len(builder.blocks) - start
            sections.append(Section("paragraph", html.wrap("p", content), start, count))
    return _transformed("", builder, sections)


def _transformed(heading: str, builder: BlockBuilder, sections: Sequence[Section]) -> Transformed:
    title = _shortened(heading or (builder.blocks[0] if builder.blocks else ""))
    return Transformed(title or None, tuple(builder.blocks), tuple(builder.pauses), tuple(sections))


def _shortened(title: str) -> str:
    if len(title) <= TITLE_LENGTH:
        return title
    cut = title[:TITLE_LENGTH].rsplit(" ", 1)[0]
    return cut[: TITLE_LENGTH - 1].rstrip(" ,;:") + "…"
