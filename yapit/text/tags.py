"""Yapit tags: <yap-show> is shown and silent, <yap-speak> spoken and hidden, <yap-cap> a caption."""

import re
from collections.abc import Iterable

from markdown_it.token import Token

_TAG = re.compile(r"<(/?)yap-(show|speak|cap)\s*>", re.IGNORECASE)
_AT_LINE_START = re.compile(r"</?yap-(?:show|speak|cap)\s*>", re.IGNORECASE)
_PAIRED = "yap"


def starts_with_tag(line: str) -> bool:
    return bool(_AT_LINE_START.match(line))


def pair(inlines: Iterable[Token]) -> None:
    """Mark opening and closing tags that match, also across paragraphs, list items and styles.

    An unmatched tag stays unmarked and has no effect on the rest of the document.
    """
    unclosed: dict[str, list[Token]] = {"show": [], "speak": [], "cap": []}
    for inline in inlines:
        for token in inline.children or ():
            match = _TAG.fullmatch(token.content) if token.type == "html_inline" else None
            if match is None:
                continue
            name = match[2].lower()
            if not match[1]:
                unclosed[name].append(token)
            elif unclosed[name]:
                unclosed[name].pop().meta[_PAIRED] = (name, True)
                token.meta[_PAIRED] = (name, False)


def paired_tag(token: Token) -> tuple[str, bool] | None:
    """(name, whether it opens) of a matched tag."""
    tag: tuple[str, bool] | None = token.meta.get(_PAIRED)
    return tag
