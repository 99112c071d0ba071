"""Statistics of the audio files and of the audio that waits to be stored."""

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from audiocache import aliases
from audiocache.errors import AudioCacheError
from audiocache.inspection import statistics
from audiocache.persister import backlog
from audiocache.store import store_for
from config.redis import clients as redis_clients

MEGABYTE = 1024 * 1024
HEADINGS = {"bytes": "audio MB", "oldest_access": "oldest access", "set_aside": "set aside"}


class Command(BaseCommand):
    help = "Show statistics of the audio files and of the audio that waits to be stored."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="write JSON, with all sizes in bytes")

    def handle(self, *args: object, **options: Any) -> None:
        try:
            with redis_clients.sync() as redis:
                files = [statistics(store_for(alias), redis) for alias in aliases.ALL]
                waiting = backlog(redis)
        except (AudioCacheError, RedisError) as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            self.stdout.write(json.dumps({"files": files, "waiting": waiting}, indent=1))
            return
        self.stdout.write(_table(files))
        self.stdout.write(
            f"\nwaiting to be stored: {waiting['persist']} entries,"
            f" {_megabytes(waiting['unpersisted_bytes'])} of {_megabytes(waiting['unpersisted_limit'])} MB;"
            f" orders: {waiting['orders']}"
        )


def _table(files: list[dict[str, Any]]) -> str:
    rows = [["", *(one["alias"] for one in files)]]
    fields = dict.fromkeys(field for one in files for field in one if field != "alias")
    for field in fields:
        heading = HEADINGS.get(field) or (
            field if field == "entries" else f"{field.removesuffix('_bytes')} MB"
        )
        rows.append([heading, *(_cell(field, one.get(field)) for one in files)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: list[str], widths: list[int]) -> str:
    heading, *cells = row
    return "  ".join([heading.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])


def _cell(field: str, value: float | None) -> str:
    if value is None:
        return "-"
    if field == "oldest_access":
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")
    return f"{value:,}" if field in ("entries", "set_aside") else _megabytes(value)


def _megabytes(value: float) -> str:
    return f"{value / MEGABYTE:,.1f}"
