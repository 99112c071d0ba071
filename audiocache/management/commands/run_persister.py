"""The process that writes the audio files."""

from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import CommandError
from redis import Redis

from audiocache.errors import StoreDamaged, StoreMissing, WriterBusy
from audiocache.persister import PersistHandler, begin_anew
from audiocache.store import AudioStore, store_for
from config import checks
from config.redis import clients as redis_clients
from config.streams import EX_TEMPFAIL, StreamCommand


class Command(StreamCommand):
    """The only writer of the audio files, so that no write ever waits for another."""

    help = "Store finished audio, and apply what is ordered of the stored. Exactly one may run."

    def handle(self, *args: object, **options: Any) -> None:
        checks.require("AUDIO_LOST_HOOK")
        with ExitStack() as at_the_end:
            self.stores = {alias: self._open(alias, at_the_end) for alias in settings.AUDIO_ALIASES}
            self.check(tags=[Tags.database], databases=settings.AUDIO_ALIASES)
            super().handle(*args, **options)

    def make_handler(self, redis: Redis) -> PersistHandler:
        return PersistHandler(self.stores, redis)

    def _open(self, alias: str, at_the_end: ExitStack) -> AudioStore:
        store = store_for(alias)
        at_the_end.callback(store.close)
        try:
            store.begin_if_interrupted()
            store.open_writer()
        except StoreDamaged as exc:
            with redis_clients.sync() as redis:
                begin_anew(store, redis, exc)
        except WriterBusy as exc:
            raise CommandError(f"{exc}: run_persister runs once only", returncode=EX_TEMPFAIL) from exc
        except StoreMissing as exc:
            raise CommandError(str(exc)) from exc
        return store
