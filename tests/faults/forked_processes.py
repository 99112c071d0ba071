"""Starts our processes in milliseconds: imports everything once and forks. A kill drill has no time for more.

A child is a process like any other and dies of SIGKILL like any other. `Nursery` is the drill's end; the
other end is this file run as a program, which ends its children when its input ends.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Nursery:
    """One order at a time, from one thread."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._folder = folder
        with (folder / "nursery.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._answer()

    def start(self, name: str, target: str, *args: str) -> None:
        """Run `module:function` in a child of that name, with these arguments."""
        self._order("start", name, target, list(args), str(self._folder / f"{name}.log"))

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Returns once it is gone."""
        self._order("kill", name, int(number))

    def send(self, name: str, number: int) -> None:
        self._order("send", name, int(number))

    def wait(self, name: str) -> int:
        """Until it ends by itself; its exit code."""
        return int(self._order("wait", name))

    def ended(self) -> list[str]:
        """Who ended since the last question."""
        return list(self._order("ended"))

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.wait()

    def _order(self, *words: object):
        assert self._process.stdin
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the nursery ended: {(self._folder / 'nursery.log').read_text()[-2000:]}"
        return json.loads(line)


class Children:
    """The orders, by name."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}

    def start(self, name: str, target: str, args: list[str], log: str) -> None:
        assert name not in self.pids, name
        self.pids[name] = os.fork() or live(target, args, log)

    def kill(self, name: str, number: int) -> None:
        self.send(name, number)
        self.wait(name)

    def send(self, name: str, number: int) -> None:
        if name in self.pids:
            os.kill(self.pids[name], number)

    def wait(self, name: str) -> int:
        pid = self.pids.pop(name, None)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 0

    def ended(self) -> list[str]:
        gone = [name for name, pid in self.pids.items() if os.waitpid(pid, os.WNOHANG)[0]]
        for name in gone:
            del self.pids[name]
        return gone

    def end_all(self) -> None:
        for name in list(self.pids):
            self.send(name, signal.SIGCONT)
            self.kill(name, signal.SIGKILL)


def live(target: str, args: list[str], log: str) -> int:
    """The child, to its end. Its parent's input and output are not its own."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        module, _, function = target.partition(":")
        getattr(importlib.import_module(module), function)(*args)
        code = 0
    except BaseException:  # whatever it is, the child must not go on as a second nursery
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def prepare() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import get_commands, load_command_class

    for name, app in get_commands().items():
        if name.startswith("run_") and name != "run_stack":
            load_command_class(app, name)
    from tests.faults import naive  # noqa: F401
    from yapit.engines import load_engine

    load_engine("tone", settings.ENGINES["tone"]).warm()
    assert threading.active_count() == 1, "threads do not survive a fork"


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()
    children = Children()
    orders = sys.stdin
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    answers.write("null\n")
    for line in orders:
        word, *rest = json.loads(line)
        answers.write(json.dumps(getattr(children, word)(*rest)) + "\n")
    children.end_all()


if __name__ == "__main__":
    main()
