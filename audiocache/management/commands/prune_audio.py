"""Shrinks an audio file while the service runs."""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis import Redis

from audiocache import aliases, orders
from audiocache.store import Store, store_for
from config.observability.progress import Progress
from config.redis import clients as redis_clients

MEGABYTE = 1024 * 1024
POLL_SECONDS = 0.2
STUCK_SECONDS = 3.0  # without an eviction: the remaining entries cannot be evicted


class Command(BaseCommand):
    help = (
        "Evict the least recently used audio down to a size and return the space to the file system."
        " run_persister does it in small steps; this command waits, and may be interrupted and repeated."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to", type=float, required=True, metavar="MB", help="megabytes of audio to keep at most"
        )
        parser.add_argument(
            "--alias", choices=aliases.ALL, default=aliases.AUDIO, help="the file (default: %(default)s)"
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=30.0,
            metavar="SECONDS",
            help="time for run_persister to accept the order (default: 30)",
        )

    def handle(self, *args: object, to: float, alias: str, wait: float, **options: Any) -> None:
        if to < 0:
            raise CommandError("--to must be 0 or more.")
        store, goal = store_for(alias), int(to * MEGABYTE)
        before = store.stats()
        with redis_clients.sync() as redis:
            self._order(redis, alias, goal, wait)
        self._watch(store, before.bytes, goal)
        after = store.stats()
        self.stdout.write(
            f"{alias}: {before.entries - after.entries:,} entries evicted,"
            f" {after.bytes / MEGABYTE:,.1f} MB kept"
        )
        if after.bytes > goal:
            self.stdout.write("The remaining entries are pinned or were used within five minutes.")

    def _order(self, redis: Redis, alias: str, goal: int, wait: float) -> None:
        if not orders.wait_for(redis, orders.prune(redis, alias, goal), wait):
            raise CommandError("run_persister has not accepted the order yet; it will when it runs.")

    def _watch(self, store: Store, before_bytes: int, goal: int) -> None:
        progress = Progress(sys.stderr, before_bytes - goal, store.alias)
        kept, changed_at = before_bytes, time.monotonic()
        while kept > goal and time.monotonic() - changed_at < STUCK_SECONDS:
            time.sleep(POLL_SECONDS)
            now = store.stats().bytes
            if now < kept:
                kept, changed_at = now, time.monotonic()
            progress.show(before_bytes - kept)
        progress.end()
