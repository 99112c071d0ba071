"""Pages that were read one by one -> one document."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

_DEFINITION = re.compile(r"^ {0,3}\[\^([^\]\s]+)\]:", re.MULTILINE)
_LABEL = re.compile(r"\[\^([^\]\s]+)\]")
_MARKED_UP = ("|", "#", ">", "`", "$", "[^", "<", "!", "---")
_GOES_ON = re.compile(r"[\w,;–-]$")
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-$")


def join_pages(pages: Sequence[str]) -> str:
    """Join Markdown pages by blank lines, or by a space where a paragraph goes on across the break.

    A footnote label that several pages define is a different footnote on each of them.
    """
    parts: list[str] = []
    for page in filter(None, map(str.strip, _with_own_labels(pages))):
        if parts and _continues(parts[-1], page):
            parts[-1], broken = _BROKEN_WORD.subn("", parts[-1])
            parts.append("" if broken else " ")
        elif parts:
            parts.append("\n\n")
        parts.append(page)
    return "".join(parts)


def _with_own_labels(pages: Sequence[str]) -> list[str]:
    defined = [set(_DEFINITION.findall(page)) for page in pages]
    times = Counter(label for labels in defined for label in labels)
    return [
        _LABEL.sub(partial(_renamed, number, {label for label in labels if times[label] > 1}), page)
        for number, (page, labels) in enumerate(zip(pages, defined, strict=True), start=1)
    ]


def _renamed(page: int, ambiguous: set[str], match: re.Match[str]) -> str:
    return f"[^p{page}-{match[1]}]" if match[1] in ambiguous else match[0]


def _continues(before: str, after: str) -> bool:
    line = before[before.rfind("\n") + 1 :]
    return after[0].islower() and bool(_GOES_ON.search(line)) and not line.lstrip().startswith(_MARKED_UP)
