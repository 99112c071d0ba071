"""Creates or migrates the storage of each audio store. Repeatable."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audiocache import aliases
from audiocache.errors import StoreMissing, StoreUnavailable, WriterBusy
from audiocache.store import store_for
from config import checks


class Command(BaseCommand):
    help = "Create or migrate the audio files."
    requires_system_checks: list[str] = []  # works without other databases

    def handle(self, *args: Any, **options: Any) -> None:
        checks.require("AUDIO_STORES")
        for alias in aliases.ALL:
            try:
                is_new = store_for(alias).prepare()
            except StoreUnavailable as exc:
                self.stderr.write(f"{alias}: {exc}; if the file is corrupt, run_persister sets it aside")
            except WriterBusy as exc:
                raise CommandError(f"{exc}; stop run_persister first") from exc
            except StoreMissing as exc:
                raise CommandError(str(exc)) from exc
            else:
                if is_new:
                    self.stdout.write(f"{alias}: ready")
