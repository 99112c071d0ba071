"""`manage.py run_worker`: a worker process for one queue of jobs."""

import gc
import secrets
import socket

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from config import checks
from config.observability import metrics
from config.redis import clients as redis_clients
from config.redis import layout
from config.streams import StopFlag
from yapit.jobs import JobHandler
from yapit.jobs.worker import Worker


class Command(BaseCommand):
    help = "Do the jobs of one queue. Any number may run, on any machine that can reach Redis."
    requires_system_checks: list[str] = []  # starts without a database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", default="speech", help="kind of the jobs, a key of JOB_HANDLERS")
        parser.add_argument(
            "--queue",
            "--model",
            default=settings.DEFAULT_MODEL,
            help="the queue; for speech, the slug of a model, a key of ENGINES",
        )

    def handle(self, *args: object, kind: str, queue: str, **options: object) -> None:
        handler = _handler_of(kind, queue)
        stop = StopFlag().listen()
        layout.require()
        metrics.serve(settings.METRICS_PORT)
        handler.warm()
        gc.collect()
        gc.freeze()  # collections need not traverse the loaded engine, which stays
        Worker(
            queue=queue,
            kind=kind,
            handler=handler,
            name=f"{socket.gethostname()}-{secrets.token_hex(6)}",
            redis=redis_clients.sync(),
            blocking=redis_clients.blocking(1),
            stop=stop,
        ).run()


def _handler_of(kind: str, queue: str) -> JobHandler:
    if kind not in settings.JOB_HANDLERS:
        available = ", ".join(sorted(settings.JOB_HANDLERS))
        raise CommandError(f"There is no kind of job {kind!r}. Available: {available}.")
    checks.require_entry("JOB_HANDLERS", kind)
    handler: JobHandler = import_string(settings.JOB_HANDLERS[kind])(queue)
    return handler
