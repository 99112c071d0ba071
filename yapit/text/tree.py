"""Document tree: built from Markdown tokens, with the footnote definitions apart."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from markdown_it.token import Token


@dataclass(slots=True)
class Node:
    """`type` is that of the token, without `_open`. The parser bounds the depth, so recursion is safe."""

    type: str
    token: Token
    children: list["Node"] = field(default_factory=list)


def build(tokens: Iterable[Token]) -> tuple[list[Node], dict[str, Node]]:
    """(top-level nodes, footnote definitions by label); the last of several definitions of a label wins."""
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
    pending = list(nodes)[::-1]
    while pending:
        node = pending.pop()
        if node.type == "inline":
            yield node.token
        pending.extend(reversed(node.children))
