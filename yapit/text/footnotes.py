"""Footnotes: the inline rule for references, and the order of the definitions in use."""

import re
from collections.abc import Iterable

from markdown_it.rules_inline import StateInline

from yapit.text.tree import Node, inlines

# Bounded: a line of `[^[^[^` would otherwise be searched to its end from each of them.
_REFERENCE = re.compile(r"\[\^([^\]\s]{1,100})\]")


def reference(state: StateInline, silent: bool) -> bool:
    """Inline rule for `[^label]`. A reference without a definition remains text."""
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
    referenced: set[str] = set()
    pending = list(_labels(body))
    while pending:
        label = pending.pop()
        if label in definitions and label not in referenced:
            referenced.add(label)
            pending.extend(_labels([definitions[label]]))
    return {label: definitions[label] for label in sorted(referenced, key=_reading_order)}


def _labels(nodes: list[Node]) -> Iterable[str]:
    for inline in inlines(nodes):
        for token in inline.children or ():
            if token.type == "footnote_ref":
                yield token.meta["label"]


def _reading_order(label: str) -> tuple[bool, int, str]:
    """Sort key: numbers by value, then words alphabetically."""
    if label.isascii() and label.isdigit():
        return False, int(label), label
    return True, 0, label
