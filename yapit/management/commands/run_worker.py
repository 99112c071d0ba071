"""`manage.py run_worker`: a worker process for one model."""

import gc
import secrets
import socket

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import checks
from config.observability import metrics
from config.redis import clients as redis_clients
from config.redis import layout
from config.streams import StopFlag
from yapit.engines import load_engine
from yapit.jobs.worker import Worker


class Command(BaseCommand):
    help = "Synthesize the jobs of one model. Any number may run, on any machine that can reach Redis."
    requires_system_checks: list[str] = []  # starts without a database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", default=settings.DEFAULT_MODEL, help="a key of ENGINES")

    def handle(self, *args: object, model: str, **options: object) -> None:
        if model not in settings.ENGINES:
            raise CommandError(
                f"There is no engine {model!r}. Available: {', '.join(sorted(settings.ENGINES))}."
            )
        checks.require_engine(model)
        stop = StopFlag().listen()
        layout.require()
        metrics.serve(settings.METRICS_PORT)
        engine = load_engine(model, settings.ENGINES[model])
        engine.warm()
        gc.collect()
        gc.freeze()  # collections need not traverse the loaded engine, which stays
        Worker(
            model=model,
            engine=engine,
            name=f"{socket.gethostname()}-{secrets.token_hex(6)}",
            redis=redis_clients.sync(),
            blocking=redis_clients.blocking(1),
            stop=stop,
        ).run()
