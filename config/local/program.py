"""A program to run, the account it runs as, and the keeper that lets none outlive its owner."""

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

# Below those that systems give to outgoing connections, one of which would soon take a port that was free.
SERVER_PORTS = range(20_000, 32_000)
WATCHDOG = Path(__file__).with_name("watchdog.py")


class CannotRun(Exception):
    """Why nothing can be started: one sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a server runs as that refuses to be root."""

    name: str
    uid: int
    gid: int

    def reaches(self, path: Path) -> bool:
        """Asked of the kernel: mode bits alone know nothing of access lists and mount options."""
        command = ["/bin/sh", "-c", 'test -r "$1" && test -x "$1"', "sh", str(path)]
        done = subprocess.run(command, **self.credentials(), cwd="/", check=False)  # type: ignore[call-overload]
        return bool(done.returncode == 0)

    def credentials(self) -> dict[str, object]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def unprivileged_account() -> Account | None:
    """None for an ordinary user, who needs no other."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise CannotRun(
        "PostgreSQL refuses to run as root and there is no user `postgres` or `nobody`; "
        "create one, or set DATABASE_URL to a server of your own."
    )


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    account: Account | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    # Programs that others depend on end in a later stage than these.
    stage: int = 0


class Keeper:
    """Starts programs. When its process is gone, even by SIGKILL, a watchdog ends what it has started.

    A process of its own rather than PR_SET_PDEATHSIG: that is Linux only, is tied to the thread that
    started the child, and gives no order in which things end.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", str(WATCHDOG)]
        self._watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")
        self._pipe = cast(IO[bytes], self._watchdog.stdin)

    def spawn(self, program: Program, output: IO[bytes] | int | None = None) -> subprocess.Popen[bytes]:
        credentials = program.account.credentials() if program.account else {}
        process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            list(program.argv),
            env=dict(program.env),
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the owner, who ends the rest in order
            **credentials,
        )
        self._tell(f"watch {process.pid} {int(program.stop_signal)} {program.stage}")
        return process

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """To be called once the process has been waited for: its number may go to another."""
        self._tell(f"forget {process.pid}")

    def remove_at_the_end(self, folder: Path) -> None:
        self._tell(f"remove {folder}")

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._watchdog.wait()

    def _tell(self, line: str) -> None:
        self._pipe.write(line.encode() + b"\n")
        self._pipe.flush()


def stop(process: subprocess.Popen[bytes], program: Program) -> int:
    """Ask, wait, insist. Return the exit code."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(program.stop_signal)
    try:
        return process.wait(program.stop_seconds)
    except subprocess.TimeoutExpired:
        kill_group(process)
        return process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """The program and what it has started: each leads a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """Free a moment ago: whoever uses it must be ready to ask again."""
    for port in random.SystemRandom().sample(SERVER_PORTS, k=100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CannotRun(f"No port from {SERVER_PORTS.start} to {SERVER_PORTS.stop} is free.")
