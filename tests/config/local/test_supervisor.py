"""Programs that end, do not end, and are restarted."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import config.local.supervisor
from config.local.program import Keeper, Program
from config.local.supervisor import Lines, Supervisor
from tests.waiting import wait_until

STOPPABLE = "import time; print('hello', flush=True); time.sleep(60)"
UNSTOPPABLE = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('hello', flush=True); time.sleep(60)"
)


@pytest.fixture
def output():
    return io.BytesIO()


@pytest.fixture
def supervisor(output):
    with closing(Keeper()) as keeper:
        supervisor = Supervisor(keeper, Lines(output))
        yield supervisor
        supervisor.kill()


def program(name, code, stop_seconds=5.0):
    argv = [sys.executable, "-I", "-c", code]
    return Program(name=name, argv=argv, env=dict(os.environ), cwd=Path("/"), stop_seconds=stop_seconds)


def greetings(output, name="a"):
    return output.getvalue().count(f"{name} | hello".encode())


def test_lines_carry_the_name_of_their_program(supervisor, output):
    assert supervisor.run_to_end(program("seed", "print('one'); print('two')"), 10) == 0

    assert output.getvalue() == b"seed | one\nseed | two\n"


def test_the_exit_code_of_a_command_is_returned(supervisor):
    assert supervisor.run_to_end(program("seed", "raise SystemExit(3)"), 10) == 3


def test_a_command_that_does_not_end_is_killed(supervisor):
    assert supervisor.run_to_end(program("seed", STOPPABLE), 0.2) == -signal.SIGKILL


def test_a_killed_program_is_restarted(supervisor, output):
    first = supervisor.start(program("a", STOPPABLE))
    wait_until(lambda: greetings(output) == 1)

    first.kill()

    wait_until(lambda: supervisor.tick() or greetings(output) == 2)
    assert b"a was ended by signal 9; starting it again in 0.5 s" in output.getvalue()


def test_a_program_that_keeps_ending_is_restarted_at_growing_intervals(supervisor, output, monkeypatch):
    monkeypatch.setattr(config.local.supervisor, "FIRST_DELAY", 0.01)
    supervisor.start(program("a", "raise SystemExit(1)"))

    wait_until(lambda: supervisor.tick() or b"again in 0.08 s" in output.getvalue())

    delays = [line.split()[-2] for line in output.getvalue().splitlines()]
    assert delays == [b"0.01", b"0.02", b"0.04", b"0.08"]


def test_after_a_steady_run_the_delay_is_reset(supervisor, output, monkeypatch):
    monkeypatch.setattr(config.local.supervisor, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(config.local.supervisor, "STEADY_SECONDS", 0.0)
    supervisor.start(program("a", "raise SystemExit(1)"))

    wait_until(lambda: supervisor.tick() or output.getvalue().count(b"again") == 3)

    assert output.getvalue().count(b"again in 0.01 s") == 3


def test_only_the_named_programs_are_stopped(supervisor):
    first, second = (supervisor.start(program(name, STOPPABLE)) for name in "ab")

    supervisor.stop(["b"])

    assert second.returncode == -signal.SIGTERM
    assert first.poll() is None
    supervisor.stop(["a", "unknown"])
    assert first.returncode == -signal.SIGTERM


ONE_OF_TWO = """
import pathlib, signal, sys, time
note = pathlib.Path({note!r})
def end(*_):
    {what}
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("hello", flush=True)
time.sleep(60)
"""


def test_programs_that_are_stopped_together_do_not_wait_for_each_other(supervisor, output, tmp_path):
    """The first program ends once the second one has ended."""
    note = str(tmp_path / "note")
    first = ONE_OF_TWO.format(note=note, what="while not note.exists(): time.sleep(0.01)")
    second = ONE_OF_TWO.format(note=note, what="note.touch()")
    supervisor.start(program("a", first, stop_seconds=30))
    supervisor.start(program("b", second, stop_seconds=30))
    wait_until(lambda: greetings(output, "a") and greetings(output, "b"), 30)

    supervisor.stop(["a", "b"])

    assert b"killing" not in output.getvalue()


def test_a_program_that_ignores_the_signal_is_killed(supervisor, output):
    ignoring = supervisor.start(program("a", UNSTOPPABLE, stop_seconds=0.2))
    wait_until(lambda: greetings(output))

    supervisor.stop(["a"])

    assert ignoring.returncode == -signal.SIGKILL


def test_an_impatient_supervisor_kills_at_once(output):
    with closing(Keeper()) as keeper:
        supervisor = Supervisor(keeper, Lines(output), is_impatient=lambda: True)
        supervisor.start(program("a", UNSTOPPABLE, stop_seconds=60))
        wait_until(lambda: greetings(output))
        started = time.monotonic()

        supervisor.stop(["a"])

    assert time.monotonic() - started < 30


def test_no_program_outlives_an_owner_that_was_killed(tmp_path):
    code = (
        "import sys, time\n"
        "from tests.config.local.test_supervisor import *\n"
        "supervisor = Supervisor(Keeper(), Lines())\n"
        "print(supervisor.start(program('a', UNSTOPPABLE.replace('60', '600'))).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], stdout=subprocess.PIPE
    )
    with owner:
        pid = int(owner.stdout.readline())
        wait_until(lambda: b"hello" in owner.stdout.readline())
        owner.kill()

    wait_until(lambda: not Path(f"/proc/{pid}").exists())
