"""Whether the audio files are what they should be, read slowly beside the running service."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audiocache import orders
from audiocache.errors import AudioCacheError
from audiocache.inspection import SlowReader, wrong_totals
from audiocache.store import AudioStore, store_for
from config.observability.progress import Progress
from config.redis import clients as redis_clients

MEGABYTE = 1024 * 1024


class Command(BaseCommand):
    help = (
        "Verify the totals and every checksum. What is damaged is ordered to be removed, and made again when"
        " somebody asks for it. Ends with 1 if anything was wrong."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--alias",
            choices=settings.AUDIO_ALIASES,
            help="only this file; otherwise all, one after the other",
        )
        parser.add_argument(
            "--rate", type=float, default=20.0, metavar="MB", help="read so much a second (20)"
        )

    def handle(self, *args: object, alias: str | None, rate: float, **options: Any) -> None:
        if rate <= 0:
            raise CommandError("--rate must be more than 0.")
        try:
            wrong = sum(
                self._check(store_for(one), rate) for one in ([alias] if alias else settings.AUDIO_ALIASES)
            )
        except AudioCacheError as exc:
            raise CommandError(f"{exc}. run_persister sets a corrupt file aside by itself.") from exc
        if wrong:
            raise CommandError(f"{wrong} found wrong.")

    def _check(self, store: AudioStore, rate: float) -> int:
        totals = wrong_totals(store)
        for sentence in totals:
            self.stderr.write(f"{store.alias}: {sentence}")
        progress = Progress(sys.stderr, store.stats().bytes, store.alias)
        checked = read = damaged = 0
        for hash_hex, size, is_right in SlowReader(store, rate * MEGABYTE).entries():
            checked, read = checked + 1, read + size
            progress.show(read)
            if not is_right:
                damaged += 1
                self.stderr.write(f"{store.alias}: {hash_hex} is damaged")
                with redis_clients.sync() as redis:
                    orders.verify(redis, store.alias, [hash_hex])
        progress.end()
        self.stdout.write(f"{store.alias}: {checked} entries checked, {damaged} damaged")
        return damaged + len(totals)
