"""Many rows as parameters of one statement: each column is one text, which PostgreSQL splits.

psycopg adapts a list value by value, which takes longer than the statement itself.
"""

from collections.abc import Iterable, Mapping, Sequence

# A control character, which no name contains. Values must not be empty or NULL: one empty text has no rows.
SEPARATOR = "\x1f"


def column(values: Iterable[object]) -> str:
    return SEPARATOR.join(map(str, values))


def columns(rows: Iterable[Sequence[object]]) -> list[str]:
    """The parameters for these rows, of which there must be at least one."""
    return [column(values) for values in zip(*rows, strict=True)]


def array(kind: str) -> str:
    """SQL of one column as an array of that type."""
    return rf"string_to_array(%s, E'\x1f')::{kind}[]"


def unnested(kinds: Mapping[str, str], name: str = "new") -> str:
    """SQL of a table with this name and these columns: {column: type}."""
    arrays = ", ".join(array(kind) for kind in kinds.values())
    return f"unnest({arrays}) AS {name} ({', '.join(kinds)})"
