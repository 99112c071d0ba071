"""Supervisor of programs: prints their output, restarts those that end, stops them in order."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, cast

from config.local.program import Keeper, Program, kill_group

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STEADY_SECONDS = 30.0  # of running, after which the delay is FIRST_DELAY again
TICK_SECONDS = 0.1


class Lines:
    """Output of programs, line by line, prefixed with the name of the program."""

    def __init__(self, output: IO[bytes] | None = None, width: int = 0) -> None:
        self._output = output or sys.stdout.buffer
        self._width = width
        self._lock = threading.Lock()

    def write(self, name: str, line: str | bytes) -> None:
        raw = line.encode() if isinstance(line, str) else line
        # A closed terminal must not block the programs.
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._output.write(name.ljust(self._width).encode() + b" | " + raw.rstrip(b"\r\n") + b"\n")
            self._output.flush()

    def follow(self, name: str, source: IO[bytes]) -> None:
        with source:
            for line in source:
                self.write(name, line)


@dataclass(slots=True)
class Child:
    program: Program
    process: "subprocess.Popen[bytes]"
    reader: threading.Thread
    started: float
    delay: float = 0.0
    due: float | None = None  # time of the next start, after the program has ended


class Supervisor:
    """For one thread. Only `tick` restarts programs, so that a failed start is not repeated."""

    def __init__(
        self, keeper: Keeper, lines: Lines, is_impatient: Callable[[], bool] = lambda: False
    ) -> None:
        self._keeper = keeper
        self._lines = lines
        self._is_impatient = is_impatient
        self._children: dict[str, Child] = {}

    def start(self, program: Program) -> "subprocess.Popen[bytes]":
        """Start the program. `tick` restarts it when it has ended."""
        process = self._keeper.spawn(program, output=subprocess.PIPE)
        source = cast(IO[bytes], process.stdout)
        reader = threading.Thread(target=self._lines.follow, args=(program.name, source), daemon=True)
        reader.start()
        previous = self._children.get(program.name)
        delay = previous.delay if previous else 0.0
        self._children[program.name] = Child(program, process, reader, time.monotonic(), delay)
        return process

    def run_to_end(self, program: Program, seconds: float) -> int:
        """Run a program that ends by itself; kill it after `seconds`. Return its exit code."""
        process = self.start(program)
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if self._is_impatient() or time.monotonic() > deadline:
                kill_group(process)
            time.sleep(TICK_SECONDS / 4)
        self._forget(program.name)
        return process.returncode

    def tick(self) -> None:
        """Restart every program that has ended and is due. Call it every TICK_SECONDS."""
        now = time.monotonic()
        for child in list(self._children.values()):
            if child.due is not None and now >= child.due:
                self._keeper.forget(child.process)
                self.start(child.program)
            elif child.due is None and child.process.poll() is not None:
                self._plan_restart(child, now)

    def stop(self, names: Iterable[str]) -> None:
        """Stop these programs together, each within its `stop_seconds`. Ignores names that do not run."""
        children = [child for name in names if (child := self._children.get(name))]
        deadlines = [time.monotonic() + child.program.stop_seconds for child in children]
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(child.program.stop_signal)
        for child, deadline in zip(children, deadlines, strict=True):
            self._await_end(child, deadline)
            self._forget(child.program.name)

    def kill(self) -> None:
        for name, child in list(self._children.items()):
            kill_group(child.process)
            child.process.wait()
            self._forget(name)

    @property
    def names(self) -> list[str]:
        return list(self._children)

    def _plan_restart(self, child: Child, now: float) -> None:
        if now - child.started >= STEADY_SECONDS:
            child.delay = 0.0
        child.delay = min(LONGEST_DELAY, child.delay * 2 or FIRST_DELAY)
        child.due = now + child.delay
        outcome = describe(child.process.returncode)
        self._lines.write("stack", f"{child.program.name} {outcome}; starting it again in {child.delay:g} s")

    def _await_end(self, child: Child, deadline: float) -> None:
        while child.process.poll() is None and time.monotonic() < deadline and not self._is_impatient():
            time.sleep(TICK_SECONDS / 4)
        if child.process.poll() is None:
            self._lines.write("stack", f"{child.program.name} does not end: killing it")
            kill_group(child.process)
            child.process.wait()

    def _forget(self, name: str) -> None:
        child = self._children.pop(name)
        self._keeper.forget(child.process)
        child.reader.join(1)


def describe(code: int) -> str:
    return f"ended with code {code}" if code >= 0 else f"was ended by signal {-code}"
