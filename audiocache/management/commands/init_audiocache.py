"""Creates or migrates the SQLite files of finished audio and their folder. Repeatable."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from audiocache import sqlite
from audiocache.errors import WriterBusy


class Command(BaseCommand):
    help = "Create or migrate the audio files."
    requires_system_checks: list[str] = []  # works without other databases

    def handle(self, *args: Any, **options: Any) -> None:
        for alias in settings.AUDIO_ALIASES:
            try:
                if sqlite.is_ready(alias):
                    continue
                sqlite.make(alias)
            except DatabaseError as exc:
                self.stderr.write(f"{alias}: {exc}; if the file is corrupt, run_persister sets it aside")
                continue
            except WriterBusy as exc:
                raise CommandError(f"{exc}; stop run_persister first") from exc
            except OSError as exc:
                raise CommandError(f"{sqlite.path_of(alias)} cannot be created: {exc.strerror}") from exc
            self.stdout.write(f"{alias}: ready")
