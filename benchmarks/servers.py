"""Private servers and a Yapit stack on them, with the settings of production (append-only file, fsync)."""

import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import django

from config.local.postgres import PostgresServer
from config.local.program import Keeper, Program, free_port, stop, unprivileged_account
from tests.stack import ROOT, Stack
from tests.waiting import wait_until

QUIET_SECONDS = 120
LOG_SHOWN = 2000  # characters of each log


@contextlib.contextmanager
def launched_stack(**env: str) -> Iterator[Stack]:
    """Servers, tables and seed in multi-user mode; no processes of Yapit yet.

    Sets Django up in this process on the same servers, which is possible once, so a benchmark has one stack.
    """
    with contextlib.ExitStack() as ending:
        folder = Path(tempfile.mkdtemp(prefix="yapit-bench-"))
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)  # PostgreSQL may be another user
        os.environ["DATABASE_URL"] = _start_postgres(ending, folder)
        stack = Stack.launch(
            folder,
            **{"MULTI_USER": "1", "LOG_LEVEL": "WARNING", "DJANGO_SETTINGS_MODULE": "config.settings", **env},
        )
        ending.callback(stack.close)
        os.environ.update({name: value for name, value in stack.env.items() if name not in ("PATH", "HOME")})
        django.setup()
        try:
            yield stack
        except Exception:
            _show_logs(stack)
            raise


def _show_logs(stack: Stack) -> None:
    """Print the logs, which are removed with the folder."""
    for name in stack.commands:
        print(f"--- {name}\n{stack.log(name)[-LOG_SHOWN:]}", file=sys.stderr)


def _start_postgres(ending: contextlib.ExitStack, folder: Path) -> str:
    keeper = ending.enter_context(contextlib.closing(Keeper()))
    keeper.remove_at_the_end(folder)
    log = ending.enter_context((folder / "postgres.log").open("ab"))
    server = PostgresServer(folder / "postgres", secrets.token_hex(16), account=unprivileged_account())

    def launch(program: Program):
        process = keeper.spawn(program, output=log)
        ending.callback(keeper.forget, process)
        ending.callback(stop, process, program)
        return process

    server.start(launch)
    return server.url


def cpu_by_process(stack: Stack) -> Counter[str]:
    """CPU seconds so far: all workers together, PostgreSQL with its backends. Empty without /proc."""
    used: Counter[str] = Counter()
    if not Path("/proc/self/stat").exists():
        return used
    for name, process in stack.processes.items():
        used[name.partition("-")[0]] += _cpu(process.pid)
    if stack.valkey_process:
        used["valkey"] = _cpu(stack.valkey_process.pid)
    postmaster = int((stack.folder / "postgres/data/postmaster.pid").read_text().split()[0])
    used["postgres"] = _cpu(postmaster, with_reaped=True) + sum(map(_cpu, _children(postmaster)))
    return used


def _children(parent: int) -> list[int]:
    """Ids of the child processes."""
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text().split()]


def _cpu(process: int, *, with_reaped: bool = False) -> float:
    """User and system time of a process in seconds; 0 after its end."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    ticks = stat.rpartition(")")[2].split()[11 : 15 if with_reaped else 13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running_server(module: str, kind: str, *arguments: str) -> Iterator[str]:
    """Run `python -m module kind PORT *arguments` and yield its URL once it accepts connections."""
    port = free_port()
    command = [sys.executable, "-m", module, kind, str(port), *arguments]
    with contextlib.closing(Keeper()) as keeper:
        process = keeper.spawn(Program(module, command, os.environ, ROOT), sys.stderr.fileno())
        try:
            wait_until(lambda: _accepts(port), 30, f"{module} does not answer")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
            keeper.forget(process)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def wait_until_idle(stack: Stack) -> None:
    """Wait until all workers and consumers are idle, so that their start is not measured."""
    workers = sum(name.startswith("worker") for name in stack.processes)
    consumers = sum(name in ("results", "billing", "persister") for name in stack.processes)
    with stack.redis as redis:

        def are_all_idle() -> bool:
            commands = Counter(client["cmd"] for client in redis.client_list())
            return commands["blpop"] >= workers and commands["xreadgroup"] >= consumers

        wait_until(are_all_idle, QUIET_SECONDS)


def wait_for_quiet(stack: Stack) -> None:
    """Wait until the cold consumers have emptied their streams."""
    with stack.redis as redis:
        wait_until(
            lambda: not any(redis.xlen(stream) for stream in ("results", "billing", "persist", "orders")),
            QUIET_SECONDS,
        )
