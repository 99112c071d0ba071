"""Makes the folder and the SQLite files of finished audio, or brings them up to date. Repeatable."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from audiocache.errors import WriterBusy
from audiocache.sqlite import schema


class Command(BaseCommand):
    help = "Make the files of finished audio, or bring them up to date."
    requires_system_checks: list[str] = []  # they need no other database

    def handle(self, *args: Any, **options: Any) -> None:
        for alias in settings.AUDIO_ALIASES:
            try:
                if schema.is_ready(alias):
                    continue
                schema.make(alias)
            except DatabaseError as exc:
                self.stderr.write(f"{alias}: {exc}; if the file is corrupt, run_persister sets it aside")
                continue
            except WriterBusy as exc:
                raise CommandError(f"{exc}; stop run_persister first") from exc
            except OSError as exc:
                raise CommandError(f"{schema.path_of(alias)} cannot be made: {exc.strerror}") from exc
            self.stdout.write(f"{alias}: ready")
