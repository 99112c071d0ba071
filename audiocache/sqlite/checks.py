"""System checks of the audio files. Tagged `database`: they run where the files are used."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from audiocache import aliases
from config.database.sqlite import FIRST_SOUND, is_sound, sqlite3

OWN_TABLES = {"entry", "payload", "stat", "django_migrations"}


@register(Tags.database)
def check_audio_files(
    app_configs: Sequence[AppConfig] | None = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check each audio file among `databases`. A file that does not exist yet passes."""
    messages: list[CheckMessage] = []
    for alias in databases or ():
        path = Path(settings.DATABASES[alias]["NAME"])
        if alias in aliases.ALL and path.exists():
            messages += _file_messages(alias, path)
    return messages


def _file_messages(alias: str, path: Path) -> Iterator[CheckMessage]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            (mode,) = db.execute("PRAGMA journal_mode").fetchone()
    except sqlite3.DatabaseError as exc:
        yield Error(f"The file of {alias} cannot be read: {exc}.", id="audiocache.E003")
        return
    foreign = sorted(name for name in tables - OWN_TABLES if not name.startswith("sqlite_"))
    if foreign:
        yield Error(
            f"The file of {alias} holds other tables: {', '.join(foreign)}.",
            hint="Other applications must not migrate into it. Is AudioRouter among DATABASE_ROUTERS?",
            id="audiocache.E001",
        )
    if mode != "wal":
        yield Error(
            f"The file of {alias} has no write-ahead log (journal_mode is {mode}).",
            hint="Run: manage.py init_audiocache",
            id="audiocache.E002",
        )
    if not is_sound():
        fixed = ".".join(map(str, FIRST_SOUND))
        yield Warning(
            f"SQLite {sqlite3.sqlite_version} can corrupt {alias}: use {fixed} or later.",
            hint="Install the pysqlite3 wheel. Until then checkpoints wait for other connections to close.",
            id="audiocache.W001",
        )
