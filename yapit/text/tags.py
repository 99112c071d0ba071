"""The tags of our own: <yap-show> is shown and silent, <yap-speak> spoken and hidden, <yap-cap> a caption."""

import re
from collections.abc import Iterable

from markdown_it.token import Token

_TAG = re.compile(r"<(/?)yap-(show|speak|cap)\s*>", re.IGNORECASE)
_AT_LINE_START = re.compile(r"</?yap-(?:show|speak|cap)\s*>", re.IGNORECASE)
_PAIRED = "yap"


def starts_with_tag(line: str) -> bool:
    return bool(_AT_LINE_START.match(line))


def pair(inlines: Iterable[Token]) -> None:
    """Mark the tags that have a partner, also across paragraphs, list items and bold text.

    A tag without one stays unmarked and means nothing: it must not swallow the rest of the document.
    """
    waiting: dict[str, list[Token]] = {"show": [], "speak": [], "cap": []}
    for inline in inlines:
        for token in inline.children or ():
            match = _TAG.fullmatch(token.content) if token.type == "html_inline" else None
            if match is None:
                continue
            name = match[2].lower()
            if not match[1]:
                waiting[name].append(token)
            elif waiting[name]:
                waiting[name].pop().meta[_PAIRED] = (name, True)
                token.meta[_PAIRED] = (name, False)


def paired_tag(token: Token) -> tuple[str, bool] | None:
    """The tag's name and whether it opens, if it has a partner."""
    found: tuple[str, bool] | None = token.meta.get(_PAIRED)
    return found
