"""`manage.py run_scheduler`: calls the periodic tasks that apps list in the settings."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils.module_loading import import_string
from redis import Redis
from redis.exceptions import ResponseError

from config import checks
from config.observability import metrics
from config.redis import clients as redis_clients
from config.redis import layout
from config.redis.transient import TRANSIENT, is_transient
from config.streams import StopFlag

logger = logging.getLogger(__name__)

RETRIED: tuple[type[Exception], ...] = (*TRANSIENT, ResponseError)  # of the latter, transient ones only


class Periodic:
    """A callable, named by its dotted path, and its interval in seconds."""

    def __init__(self, path: str, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self.call: Callable[[Redis], object] = import_string(path)
        self.due_at = 0.0

    def run_if_due(self, redis: Redis) -> None:
        if time.monotonic() < self.due_at:
            return
        self.due_at = time.monotonic() + self.seconds
        try:
            self.call(redis)
        except RETRIED as error:
            if not is_transient(error):
                raise
            logger.warning("%s: %s; trying again in %.1f s", self.path, type(error).__name__, self.seconds)


class ColdThread(threading.Thread):
    """The tasks of PERIODIC_COLD, which may wait for a database, in a daemon thread of their own."""

    def __init__(self, listed: Iterable[tuple[str, float]], stop: StopFlag) -> None:
        super().__init__(name="cold", daemon=True)
        self.tasks = [Periodic(path, seconds) for path, seconds in listed]
        self.stop = stop
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._call_until_stopped()
        except BaseException as error:
            self.failure = error  # the main thread raises it again and so ends the process
            raise

    def _call_until_stopped(self) -> None:
        with redis_clients.sync() as redis:
            while not self.stop.is_set:
                for task in self.tasks:
                    close_old_connections()
                    task.run_if_due(redis)
                self.stop.sleep(0.5)


class Command(BaseCommand):
    help = (
        "Call the periodic tasks in PERIODIC and PERIODIC_COLD, among them the one that returns jobs with an"
        " expired lease to their queue. A second scheduler does no harm."
    )
    requires_system_checks: list[str] = []  # starts without a database

    def handle(self, *args: object, **options: object) -> None:
        checks.require("PERIODIC", "PERIODIC_COLD")
        stop = StopFlag().listen()
        layout.require()
        metrics.serve(settings.METRICS_PORT)
        redis = redis_clients.sync()
        tasks = [Periodic(path, seconds) for path, seconds in settings.PERIODIC]
        cold = ColdThread(settings.PERIODIC_COLD, stop)
        cold.start()
        while not stop.is_set:
            if cold.failure:
                raise cold.failure
            for task in tasks:
                task.run_if_due(redis)
            stop.sleep(0.1)
