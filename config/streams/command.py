"""The management command that runs one consumer until it is stopped."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis import Redis

from config import checks
from config.observability import metrics
from config.redis import clients as redis_clients
from config.redis import layout
from config.streams.brake import Braked
from config.streams.consumer import StreamConsumer
from config.streams.consumer_lock import ConsumerLock, ConsumerLockTaken
from config.streams.handler import Handler
from config.streams.stop_flag import StopFlag

EX_TEMPFAIL = 75  # sysexits.h: another process holds the lock
EX_DATAERR = 65  # sysexits.h: most entries were refused, and are kept


class StreamCommand(BaseCommand):
    """Base class of the commands that run a stream consumer. Subclasses provide the handler."""

    requires_system_checks: list[str] = []  # starts without a database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--drain", action="store_true", help="exit once every stream is empty")
        parser.add_argument(
            "--number",
            type=int,
            default=0,
            help="number of this process among several; must not change over restarts",
        )

    def handle(self, *args: object, drain: bool, number: int, **options: Any) -> None:
        checks.require()  # subclasses require the settings that they resolve
        stop = StopFlag().listen()
        layout.require()
        metrics.serve(settings.METRICS_PORT)
        redis = redis_clients.sync()
        handler = self.make_handler(redis)
        blocking = redis_clients.blocking(handler.block_ms / 1000)
        consumer = StreamConsumer(handler, redis, number=number, blocking=blocking)
        consumer.lock = ConsumerLock(consumer.name)
        try:
            consumer.run(stop, drain=drain)
        except ConsumerLockTaken as taken:
            raise CommandError(str(taken), returncode=EX_TEMPFAIL) from taken
        except Braked as braked:
            raise CommandError(
                f"{consumer.name} ends with its brake pulled: {braked}", returncode=EX_DATAERR
            ) from braked
        finally:
            consumer.lock.close()

    def make_handler(self, redis: Redis) -> Handler[Any]:
        """The handler to run, on the client that the consumer uses."""
        raise NotImplementedError
