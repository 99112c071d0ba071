"""Fork server: starts processes of the product within milliseconds, since it has imported everything before.

The drill uses `ForkServer`, which runs this file as a program; that program kills its children when its input
ends.
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


class ForkServer:
    """Client of the fork server; for one thread."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._folder = folder
        with (folder / "forkserver.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reply()

    def start(self, name: str, target: str, *args: str) -> None:
        """Run `module:function` with these arguments in a child of this name."""
        self._command("start", name, target, list(args), str(self._folder / f"{name}.log"))

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end of the child."""
        self._command("kill", name, int(number))

    def send(self, name: str, number: int) -> None:
        self._command("send", name, int(number))

    def wait(self, name: str) -> int:
        """Wait for the end of a child. Returns its exit code."""
        return int(self._command("wait", name))

    def ended(self) -> list[str]:
        """Children that have ended since the last call."""
        return list(self._command("ended"))

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.wait()

    def _command(self, *arguments: object):
        assert self._process.stdin
        self._process.stdin.write(json.dumps(arguments).encode() + b"\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self):
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the fork server ended: {(self._folder / 'forkserver.log').read_text()[-2000:]}"
        return json.loads(line)


class Children:
    """Commands of the fork server, by name."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}

    def start(self, name: str, target: str, args: list[str], log: str) -> None:
        assert name not in self.pids, name
        self.pids[name] = os.fork() or run_child(target, args, log)

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


def run_child(target: str, args: list[str], log: str) -> int:
    """Runs in the child and ends it. Its output goes to `log`."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        module, _, function = target.partition(":")
        getattr(importlib.import_module(module), function)(*args)
        code = 0
    except BaseException:  # any: the child must not continue as a second fork server
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
    commands = sys.stdin
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    replies.write("null\n")
    for line in commands:
        command, *arguments = json.loads(line)
        replies.write(json.dumps(getattr(children, command)(*arguments)) + "\n")
    children.end_all()


if __name__ == "__main__":
    main()
