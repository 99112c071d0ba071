"""Markdown tokens -> a tree, footnote definitions set aside."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from markdown_it.token import Token


@dataclass(slots=True)
class Node:
    """`type` is the token's without `_open`. Depth is bounded by the parser, so walking may recurse."""

    type: str
    token: Token
    children: list["Node"] = field(default_factory=list)


def build(tokens: Iterable[Token]) -> tuple[list[Node], dict[str, Node]]:
    """(top-level nodes, footnote definitions by label: of two with one label the last counts)."""
    root: list[Node] = []
    definitions: dict[str, Node] = {}
    open_lists = [root]
    for token in tokens:
        if token.nesting < 0:
            open_lists.pop()
            continue
        node = Node(token.type.removesuffix("_open"), token)
        if node.type == "footnote_reference":
            definitions[token.meta["label"]] = node
        else:
            open_lists[-1].append(node)
        if token.nesting > 0:
            open_lists.append(node.children)
    return root, definitions


def inlines(nodes: Iterable[Node]) -> Iterator[Token]:
    """Every inline token below the nodes, in reading order."""
    waiting = list(nodes)[::-1]
    while waiting:
        node = waiting.pop()
        if node.type == "inline":
            yield node.token
        waiting.extend(reversed(node.children))
