"""The command that runs the persister, the one process that writes to the audio stores."""

from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import CommandError
from redis import Redis

from audiocache import aliases
from audiocache.errors import StoreDamaged, StoreMissing, WriterBusy
from audiocache.persister import PersistHandler, replace_damaged
from audiocache.store import Store, store_for
from config import checks
from config.redis import clients as redis_clients
from config.streams import EX_TEMPFAIL, StreamCommand


class Command(StreamCommand):
    help = "Store finished audio and apply orders to stored audio. Run exactly one."

    def handle(self, *args: object, **options: Any) -> None:
        checks.require("AUDIO_LOST_HOOK", "AUDIO_STORES")
        with ExitStack() as at_the_end:
            self.stores = {alias: self._open(alias, at_the_end) for alias in aliases.ALL}
            databases = [alias for alias in aliases.ALL if alias in settings.DATABASES]
            self.check(tags=[Tags.database], databases=databases)
            super().handle(*args, **options)

    def make_handler(self, redis: Redis) -> PersistHandler:
        return PersistHandler(self.stores, redis)

    def _open(self, alias: str, at_the_end: ExitStack) -> Store:
        store = store_for(alias)
        at_the_end.callback(store.close)
        try:
            store.open_writer()
        except StoreDamaged as exc:
            with redis_clients.sync() as redis:
                replace_damaged(store, redis, exc)
        except WriterBusy as exc:
            raise CommandError(f"{exc}: only one run_persister may run", returncode=EX_TEMPFAIL) from exc
        except StoreMissing as exc:
            raise CommandError(str(exc)) from exc
        return store
