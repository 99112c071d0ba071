"""Footnotes: which are referred to, and in which order they are read at the end."""

import re
from collections.abc import Iterable

from markdown_it.rules_inline import StateInline

from yapit.text.tree import Node, inlines

# Bounded, or a line of `[^[^[^` would be searched to its end from each of them.
_REFERENCE = re.compile(r"\[\^([^\]\s]{1,100})\]")


def reference(state: StateInline, silent: bool) -> bool:
    """Inline rule: `[^label]` of a footnote that is defined somewhere. Any other stays as it is written."""
    match = _REFERENCE.match(state.src, state.pos, state.posMax)
    known = state.env.get("footnotes", {}).get("refs", {})
    if match is None or f":{match[1]}" not in known:
        return False
    if not silent:
        state.push("footnote_ref", "", 0).meta = {"label": match[1]}
    state.pos = match.end()
    return True


def used(body: list[Node], definitions: dict[str, Node]) -> dict[str, Node]:
    """The definitions that the body refers to, directly or through another footnote, in reading order."""
    found: dict[str, Node] = {}
    waiting = list(_labels(body))
    while waiting:
        label = waiting.pop()
        if label in definitions and label not in found:
            found[label] = definitions[label]
            waiting.extend(_labels([definitions[label]]))
    return {label: found[label] for label in sorted(found, key=_reading_order)}


def _labels(nodes: list[Node]) -> Iterable[str]:
    for inline in inlines(nodes):
        for token in inline.children or ():
            if token.type == "footnote_ref":
                yield token.meta["label"]


def _reading_order(label: str) -> tuple[bool, int, str]:
    """Numbers by their value, then words by the alphabet."""
    if label.isascii() and label.isdigit():
        return False, int(label), label
    return True, 0, label
