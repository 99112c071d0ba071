"""Tasks of the scheduler besides reaping."""

import pytest

from config.streams import StopFlag
from tests.waiting import wait_until
from yapit.management.commands.run_scheduler import ColdThread

called = []


def note(redis) -> None:
    called.append(redis.ping())


def fail(redis) -> None:
    raise ZeroDivisionError


@pytest.fixture
def stop():
    stop = StopFlag()
    yield stop
    stop.is_set = True


def test_cold_tasks_run_in_a_thread_of_their_own(redis, stop):
    called.clear()
    cold = ColdThread([(f"{__name__}.note", 0.0)], stop)

    cold.start()

    wait_until(lambda: len(called) > 1, 30)
    stop.is_set = True
    cold.join(30)
    assert cold.failure is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_of_a_cold_task_is_kept_for_the_main_thread(redis, stop):
    cold = ColdThread([(f"{__name__}.fail", 0.0)], stop)

    cold.start()
    cold.join(30)

    assert isinstance(cold.failure, ZeroDivisionError)
