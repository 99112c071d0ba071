"""`manage.py run_stack`: all servers and processes on one machine, until Ctrl-C."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.local.program import CannotRun, Keeper, free_port, unprivileged_account
from config.local.stack import Stack, StackOptions
from config.local.state import StateFolder, open_state
from config.local.supervisor import TICK_SECONDS, Lines, Supervisor
from config.management.commands.run_web import is_loopback, listen

CREDENTIALS = "credentials.txt"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Raised by the first signal during a start. A BaseException, so that no handler of errors catches it."""


class StopSignals:
    """Signal handler that counts requests to stop, without a lock: in a signal handler it could deadlock."""

    def __init__(self) -> None:
        self.count = 0
        self.is_starting = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.is_starting:
            self.is_starting = False
            raise Interrupted


class Command(BaseCommand):
    help = (
        "Run all processes on this machine, with a private PostgreSQL and Valkey where DATABASE_URL or"
        " REDIS_URL is not set."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000, help="0 chooses a free port")
        parser.add_argument("--multi-user", action="store_true", help="require log-in; allows any --host")
        parser.add_argument("--state", type=Path, default=settings.STATE_DIR, help="folder of all data")
        parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne")

    def handle(self, *, state: Path, **given: Any) -> None:
        os.umask(0o077)
        stop = StopSignals()
        for number in SIGNALS:
            signal.signal(number, stop)
        try:
            folder = open_state(state, unprivileged_account())
            with folder.lock:
                self._run(options_from(given, folder.path / CREDENTIALS), folder, stop)
        except CannotRun as exc:
            raise CommandError(str(exc)) from exc
        except Interrupted:
            raise SystemExit(130) from None

    def _run(self, options: StackOptions, folder: StateFolder, stop: StopSignals) -> None:
        lines = Lines(width=max(map(len, [*options.processes, "init_audiocache"])))
        with closed_at_end() as keeper:
            supervisor = Supervisor(keeper, lines, is_impatient=lambda: stop.count > 1)
            stack = Stack(options, folder, supervisor, lines)
            is_first = not (folder.path / CREDENTIALS).exists()
            try:
                stack.start()
                stop.is_starting = False
                self._welcome(stack, is_first)
                while not stop.count:
                    supervisor.tick()
                    time.sleep(TICK_SECONDS)
            finally:
                stop.is_starting = False
                lines.write("stack", "stopping; press Ctrl-C again to kill")
                stack.stop()

    def _welcome(self, stack: Stack, is_first: bool) -> None:
        credentials = stack.state.path / CREDENTIALS
        self.stdout.write(f"\nYapit is ready: http://{stack.address}/\n")
        for address in stack.addresses_for_others:
            self.stdout.write(f"From other machines: http://{address}/\n")
        if is_first and credentials.exists():
            self.stdout.write(f"The admin login and an API key, kept in {credentials}:\n")
            self.stdout.write(credentials.read_text())
        else:
            self.stdout.write(f"The admin login and an API key are in {credentials}\n")
        self.stdout.write("Ctrl-C stops everything; what was spoken is kept.\n\n")
        self.stdout.flush()


def options_from(given: dict[str, Any], credentials: Path) -> StackOptions:
    host, port, multi_user = given["host"], given["port"], given["multi_user"]
    if not multi_user and not is_loopback(host):
        raise CannotRun(f"{host} can be reached by others: add --multi-user, so that they have to log in.")
    options = StackOptions(
        project=settings.BASE_DIR,
        host=host,
        port=port or free_port(),
        server=given["server"],
        multi_user=multi_user,
        web_drain_seconds=settings.DRAIN_SECONDS,
        processes={**settings.STACK_PROCESSES, **worker_processes()},
        preparations=[
            [word.format(credentials=credentials) for word in command]
            for command in settings.STACK_PREPARATIONS
        ],
        drains=settings.STACK_DRAINS,
    )
    listen(options.host, options.port).close()  # raises CommandError if the port is taken
    return options


def worker_processes() -> dict[str, list[str]]:
    """Name and arguments of the workers that ENGINES asks for."""
    return {
        f"worker-{model}" if number == 1 else f"worker-{model}-{number}": [
            word.format(model=model) for word in settings.STACK_WORKER
        ]
        for model, entry in settings.ENGINES.items()
        for number in range(1, entry.get("workers", 0) + 1)
    }


@contextmanager
def closed_at_end() -> Iterator[Keeper]:
    keeper = Keeper()
    try:
        yield keeper
    finally:
        with suppress(BrokenPipeError):
            keeper.close()
