"""The complete stack under real signals, with stand-ins for the processes of the apps."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from config.local.stack import names_of_this_machine, outgoing_addresses
from config.management.commands import run_stack
from tests.config.test_services import processes_of
from tests.waiting import PROCESS_PATIENCE, wait_until

PROJECT = Path(__file__).parents[3]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")


class RunningStack:
    """`run_stack` and its output so far."""

    def __init__(self, state, *arguments, **options):
        self.state = state
        self.log = state.parent / f"{state.name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command(state, "--port", "0", *arguments),
                **{"cwd": PROJECT, "env": environment()} | options,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self):
        wait_until(
            lambda: self.process.poll() is not None or "Yapit is ready" in self.text, timeout=PROCESS_PATIENCE
        )
        assert self.process.poll() is None, self.text
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PROCESS_PATIENCE)

    @property
    def text(self):
        return self.log.read_text(errors="replace")

    @property
    def notes(self):
        return [line.split() for line in (self.state / "notes").read_text().splitlines()]


def command(state, *arguments):
    return [sys.executable, "manage.py", "run_stack", "--state", str(state), *arguments]


def environment():
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
    }
    return inherited | {"DJANGO_SETTINGS_MODULE": "tests.config.local.stand_in_stack", "DRAIN_SECONDS": "2"}


@pytest.fixture
def folder():
    """A folder that all users can enter, unlike those of pytest."""
    path = Path(tempfile.mkdtemp(prefix="yapit-stack-"))
    path.chmod(0o755)
    yield path
    wait_until(lambda: not processes_of(path), timeout=PROCESS_PATIENCE)
    shutil.rmtree(path)


@pytest.fixture
def start(folder):
    with contextlib.ExitStack() as running:

        def begin(*arguments, **options):
            stack = RunningStack(folder / "state", *arguments, **options)
            running.callback(stack.process.wait)
            running.callback(stack.process.kill)
            return stack

        yield begin


def error_of(state, *arguments, **options):
    """The error of a stack that does not start: one sentence."""
    done = subprocess.run(
        command(state, *arguments),
        **{"cwd": PROJECT, "env": environment()} | options,
        capture_output=True,
        text=True,
        timeout=PROCESS_PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_from_the_first_start_to_the_last_stop(start):
    stack = start().wait_until_ready()
    assert "password: first-secret" in stack.text
    assert "start 1 for PostgreSQL, 1 for Valkey" in stack.text
    assert re.search(r"worker +\| hello", stack.text)
    assert (stack.state / "credentials.txt").stat().st_mode & 0o777 == 0o600

    os.kill(int(stack.notes[0][2]), signal.SIGKILL)
    wait_until(lambda: len(stack.notes) == 3, timeout=PROCESS_PATIENCE)

    assert "Another stack" in error_of(stack.state)
    assert stack.stop() == 0
    ends = [name for name, what, _ in stack.notes if what == "ends"]
    assert (set(ends[:2]), ends[2:]) == ({"worker", "persister"}, ["drain"])
    assert not processes_of(stack.state)

    again = start().wait_until_ready()
    assert "start 2 for PostgreSQL, 2 for Valkey" in again.text
    assert "first-secret" not in again.text
    assert str(stack.state / "credentials.txt") in again.text


@pytest.mark.slow
def test_after_a_kill_no_process_remains_and_no_data_are_lost(start):
    stack = start().wait_until_ready()
    stack.process.kill()
    stack.process.wait()
    wait_until(lambda: not processes_of(stack.state), timeout=PROCESS_PATIENCE)

    assert "start 2 for PostgreSQL, 2 for Valkey" in start().wait_until_ready().text


@pytest.mark.slow
def test_a_start_right_after_a_kill_ends_the_remaining_processes(start):
    stack = start().wait_until_ready()
    stack.process.kill()
    stack.process.wait()

    assert "start 2 for PostgreSQL, 2 for Valkey" in start().wait_until_ready().text


@pytest.mark.slow
def test_ctrl_c_during_the_start_leaves_no_process(start):
    stack = start()
    wait_until(lambda: (stack.state / "postgres").exists(), timeout=PROCESS_PATIENCE)

    stack.process.send_signal(signal.SIGINT)

    assert stack.process.wait(PROCESS_PATIENCE) == 130
    assert "Traceback" not in stack.text
    assert not processes_of(stack.state)


@pytest.mark.slow
def test_killed_servers_are_restarted_with_their_data(start):
    stack = start().wait_until_ready()
    for pid_file in ("postgres/data/postmaster.pid", "valkey/valkey.pid"):
        os.kill(int((stack.state / pid_file).read_text().split()[0]), signal.SIGKILL)

    wait_until(lambda: len(re.findall(r"(postgres|valkey) was ended by signal 9", stack.text)) == 2)

    assert stack.stop() == 0
    assert "start 2 for PostgreSQL, 2 for Valkey" in start().wait_until_ready().text


@needs_root
@pytest.mark.slow
def test_root_keeps_the_database_where_its_user_can_reach_it(start, folder):
    folder.chmod(0o700)
    stack = start().wait_until_ready()
    home = Path(re.search(r"PostgreSQL keeps its data in (\S+),", stack.text)[1])

    assert stack.stop() == 0
    assert (home / "data" / "PG_VERSION").exists()
    shutil.rmtree(home)


def test_a_taken_port_is_named(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        assert "--port" in error_of(folder / "state", "--port", port)


def test_a_public_address_needs_multi_user(folder):
    assert "--multi-user" in error_of(folder / "state", "--host", "0.0.0.0")


def test_outgoing_addresses_are_names_of_this_machine():
    with socket.create_server(("0.0.0.0", 0)) as server:
        for address in outgoing_addresses():
            if ":" not in address:
                socket.create_connection((address, server.getsockname()[1]), PROCESS_PATIENCE).close()

    assert set(outgoing_addresses()) <= set(names_of_this_machine("0.0.0.0"))


def test_a_folder_that_cannot_be_written_is_named():
    assert "Cannot write to /dev/null/state" in error_of(Path("/dev/null/state"))


def test_workers_are_started_for_the_models_that_ask_for_them(settings):
    settings.ENGINES = {
        "one": {"class": "any", "workers": 1},
        "two": {"class": "any", "workers": 2},
        "none": {"class": "any"},
    }

    assert run_stack.worker_processes() == {
        "worker-one": ["run_worker", "--model", "one"],
        "worker-two": ["run_worker", "--model", "two"],
        "worker-two-2": ["run_worker", "--model", "two"],
    }
