"""Keeps programs running: shows their lines, starts them again when they end, stops them in order."""

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
STEADY_SECONDS = 30.0  # a program that ran for so long begins with the first delay again
TICK_SECONDS = 0.1


class Lines:
    """What programs print, one line at a time, with the name of the program in front."""

    def __init__(self, output: IO[bytes] | None = None, width: int = 0) -> None:
        self._output = output or sys.stdout.buffer
        self._width = width
        self._lock = threading.Lock()

    def write(self, name: str, line: str | bytes) -> None:
        raw = line.encode() if isinstance(line, str) else line
        # Nobody may be listening any more; the programs must not be held up by that.
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
    due: float | None = None  # when it is to be started again


class Supervisor:
    """Owned by one thread. Nothing is restarted but by `tick`, so a start can be watched in peace."""

    def __init__(self, keeper: Keeper, lines: Lines, impatient: Callable[[], bool] = lambda: False) -> None:
        self._keeper = keeper
        self._lines = lines
        self._impatient = impatient
        self._children: dict[str, Child] = {}

    def start(self, program: Program) -> "subprocess.Popen[bytes]":
        """Start it now, and keep it running from the next tick on."""
        process = self._keeper.spawn(program, output=subprocess.PIPE)
        source = cast(IO[bytes], process.stdout)
        reader = threading.Thread(target=self._lines.follow, args=(program.name, source), daemon=True)
        reader.start()
        before = self._children.get(program.name)
        delay = before.delay if before else 0.0
        self._children[program.name] = Child(program, process, reader, time.monotonic(), delay)
        return process

    def run_to_the_end(self, program: Program, seconds: float) -> int:
        """For a program that ends by itself, at the latest after `seconds`. Return its exit code."""
        process = self.start(program)
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if self._impatient() or time.monotonic() > deadline:
                kill_group(process)
            time.sleep(TICK_SECONDS / 4)
        self._forget(program.name)
        return process.returncode

    def tick(self) -> None:
        """Look after every program once."""
        now = time.monotonic()
        for child in list(self._children.values()):
            if child.due is not None and now >= child.due:
                self._keeper.forget(child.process)
                self.start(child.program)
            elif child.due is None and child.process.poll() is not None:
                self._plan_restart(child, now)

    def stop(self, names: Iterable[str]) -> None:
        """All at once, each given its time. Names that are not running are passed over."""
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
        while child.process.poll() is None and time.monotonic() < deadline and not self._impatient():
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
