"""Callouts, quotes that begin with `[!TYPE] title`: parser of the first line, colours of the types."""

import re

_HEAD = re.compile(r"\[!([A-Za-z][\w-]{0,40})\][+-]?(?:[ \t]+|$)")

_NAMES = {
    "blue": "note info information abstract summary tldr default blue",
    "green": "tip hint success check done example-solution solution green",
    "purple": "important example definition theorem lemma proof purple",
    "red": "danger caution error bug failure fail missing red",
    "yellow": "warning attention question help faq todo yellow",
    "teal": "teal key insight takeaway remark",
    "gray": "quote cite aside gray grey",
}
_COLOURS = {name: colour for colour, names in _NAMES.items() for name in names.split()}
UNKNOWN = "blue"


def head_of(text: str) -> tuple[str, str] | None:
    """(type in lower case, the rest of the line) if the text begins a callout."""
    match = _HEAD.match(text)
    return (match[1].lower(), text[match.end() :]) if match else None


def colour_of(kind: str) -> str:
    return _COLOURS.get(kind, UNKNOWN)
