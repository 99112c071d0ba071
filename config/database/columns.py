"""Many rows as the parameters of one statement: each column is one text, which PostgreSQL takes apart.

A list as a parameter is adapted value by value, which takes longer than what is done with the rows.
"""

from collections.abc import Iterable, Mapping, Sequence

# Not printable, so in no name. No value may be empty or NULL: a column of one empty text has no rows.
SEPARATOR = "\x1f"


def column(values: Iterable[object]) -> str:
    return SEPARATOR.join(map(str, values))


def columns(rows: Iterable[Sequence[object]]) -> list[str]:
    """The parameters for these rows, at least one."""
    return [column(values) for values in zip(*rows, strict=True)]


def array(kind: str) -> str:
    """SQL for one column: an array of that type."""
    return rf"string_to_array(%s, E'\x1f')::{kind}[]"


def unnested(kinds: Mapping[str, str], name: str = "new") -> str:
    """SQL for a table of that name, by column and type."""
    arrays = ", ".join(array(kind) for kind in kinds.values())
    return f"unnest({arrays}) AS {name} ({', '.join(kinds)})"
