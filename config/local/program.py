"""Programs to run, the system account they run as, and the keeper that ends them with their owner."""

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

# Below the ephemeral ports, so that an outgoing connection does not take a port that was just found free.
SERVER_PORTS = range(20_000, 32_000)
WATCHDOG = Path(__file__).with_name("watchdog.py")


class CannotRun(Exception):
    """The reason why the stack cannot start: one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class SystemAccount:
    """A user of the operating system, for a server that refuses to run as root."""

    name: str
    uid: int
    gid: int

    def reaches(self, path: Path) -> bool:
        """Whether the account can read and enter the path. Mode bits alone omit ACLs and mount options."""
        command = ["/bin/sh", "-c", 'test -r "$1" && test -x "$1"', "sh", str(path)]
        done = subprocess.run(command, **self.credentials(), cwd="/", check=False)  # type: ignore[call-overload]
        return bool(done.returncode == 0)

    def credentials(self) -> dict[str, object]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def unprivileged_account() -> SystemAccount | None:
    """The account for servers that refuse to run as root. None: this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return SystemAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)
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
    account: SystemAccount | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    # Lower stages are ended first; others depend on programs of higher stages.
    stage: int = 0


class Keeper:
    """Starts programs. When this process ends, even by SIGKILL, a watchdog process ends the programs.

    PR_SET_PDEATHSIG is no alternative: it is Linux only, depends on the thread that started the child, and
    gives no order in which programs end.
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
            start_new_session=True,  # Ctrl-C reaches the owner only, which ends programs in order
            **credentials,
        )
        self._send(f"watch {process.pid} {int(program.stop_signal)} {program.stage}")
        return process

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Call it once the process has been waited for, since its PID may be reused."""
        self._send(f"forget {process.pid}")

    def remove_at_the_end(self, folder: Path) -> None:
        self._send(f"remove {folder}")

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._watchdog.wait()

    def _send(self, line: str) -> None:
        self._pipe.write(line.encode() + b"\n")
        self._pipe.flush()


def stop(process: subprocess.Popen[bytes], program: Program) -> int:
    """Send the stop signal, and after `stop_seconds` SIGKILL. Return the exit code."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(program.stop_signal)
    try:
        return process.wait(program.stop_seconds)
    except subprocess.TimeoutExpired:
        kill_group(process)
        return process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and its children: each program leads a session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port that was free just now. Callers must be prepared to choose another."""
    for port in random.SystemRandom().sample(SERVER_PORTS, k=100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CannotRun(f"No port from {SERVER_PORTS.start} to {SERVER_PORTS.stop} is free.")
