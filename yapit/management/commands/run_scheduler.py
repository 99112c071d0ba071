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

WAITED_FOR: tuple[type[Exception], ...] = (*TRANSIENT, ResponseError)  # the latter only where it passes


class Periodic:
    """One callable and how often it is due."""

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
        except WAITED_FOR as error:
            if not is_transient(error):
                raise
            logger.warning("%s: %s; trying again in %.1f s", self.path, type(error).__name__, self.seconds)


class Cold(threading.Thread):
    """Calls what may wait for a database, so that nothing else waits with it. Ends with the process."""

    def __init__(self, listed: Iterable[tuple[str, float]], stop: StopFlag) -> None:
        super().__init__(name="cold", daemon=True)
        self.tasks = [Periodic(path, seconds) for path, seconds in listed]
        self.stop = stop
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._call_until_stopped()
        except BaseException as error:
            self.failure = error  # raised again by the main thread, which ends the process
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
        "Take jobs back from silent workers, and call what apps list in PERIODIC and PERIODIC_COLD."
        " A second one does no harm."
    )
    requires_system_checks: list[str] = []  # starts without a database

    def handle(self, *args: object, **options: object) -> None:
        checks.require("PERIODIC", "PERIODIC_COLD")
        stop = StopFlag().listen()
        layout.require()
        metrics.serve(settings.METRICS_PORT)
        redis = redis_clients.sync()
        tasks = [Periodic(path, seconds) for path, seconds in settings.PERIODIC]
        cold = Cold(settings.PERIODIC_COLD, stop)
        cold.start()
        while not stop.is_set:
            if cold.failure:
                raise cold.failure
            for task in tasks:
                task.run_if_due(redis)
            stop.sleep(0.1)
