"""Raw SQL for queries of every request, which the ORM takes longer to build than PostgreSQL to answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection


def fetch_rows(sql: str, params: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
    """Execute one statement with `%(name)s` placeholders and return all of its rows.

    Values are as Django's driver returns them: those of a JSONField are text, and the caller decodes them.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return rows
