"""Queries that are asked for every listener: turned into SQL once, which takes the ORM longer than asking."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import QuerySet

Source = Callable[[Sequence[Any]], Any]


class Prepared:
    """`build` makes the query, a `values_list`, from its values; with whatever values, it has the same shape.

    `examples` are such values. None of them occurs in the query but where the value belongs.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], *examples: object) -> None:
        self._build = build
        self._examples = examples
        self._is_ready = False

    def __call__(self, *values: object) -> Sequence[Sequence[Any]]:
        if not self._is_ready:
            self._prepare()
        with connection.cursor() as cursor:
            cursor.execute(self._sql, [source(values) for source in self._sources])
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
        return list(self._compiler.apply_converters(rows, self._converters)) if self._converters else rows

    def _prepare(self) -> None:
        """Twice at the same time does no harm."""
        self._compiler: Any = self._build(*self._examples).query.get_compiler(DEFAULT_DB_ALIAS)
        self._sql, parameters = self._compiler.as_sql()
        self._sources = [self._source(parameter) for parameter in parameters]
        self._converters = self._compiler.get_converters([column for column, *_ in self._compiler.select])
        self._is_ready = True

    def _source(self, parameter: object) -> Source:
        """Where the value of a parameter comes from: one of ours, or what the query says itself."""
        for place, example in enumerate(self._examples):
            if example == parameter and isinstance(example, bool) == isinstance(parameter, bool):
                return _taken(place, type(parameter))
        return lambda values: parameter


def _taken(place: int, kind: type) -> Source:
    """The value of that place; a whole number as one of its column's type."""
    if issubclass(kind, int):
        return lambda values: kind(values[place])
    return lambda values: values[place]
