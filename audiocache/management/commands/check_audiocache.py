"""Verification of the audio files at a limited rate, beside the running service."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audiocache import aliases, orders
from audiocache.errors import AudioCacheError
from audiocache.inspection import ThrottledReader
from audiocache.store import Store, store_for
from config.observability.progress import Progress
from config.redis import clients as redis_clients

MEGABYTE = 1024 * 1024


class Command(BaseCommand):
    help = (
        "Verify the totals and every checksum. Damaged entries are ordered to be removed and synthesized"
        " again on request. Exits with 1 if an error was found."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--alias",
            choices=aliases.ALL,
            help="verify only this file (default: all)",
        )
        parser.add_argument(
            "--rate",
            type=float,
            default=20.0,
            metavar="MB",
            help="megabytes to read per second (default: 20)",
        )

    def handle(self, *args: object, alias: str | None, rate: float, **options: Any) -> None:
        if rate <= 0:
            raise CommandError("--rate must be greater than 0.")
        try:
            errors = sum(self._check(store_for(one), rate) for one in ([alias] if alias else aliases.ALL))
        except AudioCacheError as exc:
            raise CommandError(f"{exc}. run_persister sets a corrupt file aside.") from exc
        if errors:
            raise CommandError(f"{errors} found wrong.")

    def _check(self, store: Store, rate: float) -> int:
        totals = store.wrong_totals()
        for sentence in totals:
            self.stderr.write(f"{store.alias}: {sentence}")
        progress = Progress(sys.stderr, store.stats().bytes, store.alias)
        checked = read = damaged = 0
        for hash_hex, size, is_undamaged in ThrottledReader(store, rate * MEGABYTE).entries():
            checked, read = checked + 1, read + size
            progress.show(read)
            if not is_undamaged:
                damaged += 1
                self.stderr.write(f"{store.alias}: {hash_hex} is damaged")
                with redis_clients.sync() as redis:
                    orders.verify(redis, store.alias, [hash_hex])
        progress.end()
        self.stdout.write(f"{store.alias}: {checked} entries checked, {damaged} damaged")
        return damaged + len(totals)
