"""Single flight: one fetch for all concurrent callers, and no state after it."""

import asyncio
import gc
import threading
import traceback

import pytest

from config.caching import FetchAbandoned, Flights
from tests.config.caching.crowds import (
    RUNS,
    THREADS,
    Gate,
    LeaderFetches,
    Source,
    in_threads,
)
from tests.waiting import async_wait_until, wait_until


@pytest.fixture
def flights():
    flights = Flights()
    yield flights
    assert flights.under_way == 0


async def gathered(count, call):
    """Start `count` tasks, each waiting for the call when this returns."""
    tasks = [asyncio.create_task(call()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


# --- Tasks ----------------------------------------------------------------------------------------------


async def test_500_callers_cause_one_fetch(flights):
    source = Source()

    results = await asyncio.gather(*(flights.afetch_once("key", source.afetch) for _ in range(500)))

    assert (source.fetches, set(results)) == (1, {"value"})


async def test_a_later_caller_fetches_again(flights):
    source = Source()

    for _ in range(3):
        await flights.afetch_once("key", source.afetch)

    assert source.fetches == 3


async def test_keys_do_not_wait_for_each_other(flights):
    gate = Gate("slow")
    (slow,) = await gathered(1, lambda: flights.afetch_once("slow", gate.fetch))

    assert await flights.afetch_once("fast", Source("fast").afetch) == "fast"

    gate.opened.set()
    assert await slow == "slow"


async def test_cancelling_the_first_caller_does_not_fail_others(flights):
    gate = Gate("value")
    first, *others = await gathered(500, lambda: flights.afetch_once("key", gate.fetch))

    first.cancel()
    await asyncio.sleep(0)
    gate.opened.set()

    assert set(await asyncio.gather(*others)) == {"value"}
    assert (first.cancelled(), gate.fetches) == (True, 1)


async def test_control_a_cancelled_leader_that_fetches_itself_fails_all():
    naive, gate = LeaderFetches(), Gate("value")
    first, *others = await gathered(500, lambda: naive.aget_or_fetch("key", gate.fetch))

    first.cancel()

    ends = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)


async def test_after_all_callers_are_cancelled_the_fetch_continues_and_can_be_joined(flights):
    gate = Gate("value")
    for task in (tasks := await gathered(3, lambda: flights.afetch_once("key", gate.fetch))):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    (late,) = await gathered(1, lambda: flights.afetch_once("key", gate.fetch))
    gate.opened.set()

    assert (await late, gate.fetches) == ("value", 1)


@pytest.mark.parametrize("callers", [1, 50])
async def test_an_exception_reaches_all_waiting_callers_and_no_later_one(flights, callers):
    source = Source(LookupError("gone"))
    ends = await asyncio.gather(
        *(flights.afetch_once("key", source.afetch) for _ in range(callers)), return_exceptions=True
    )

    assert (source.fetches, [type(end) for end in ends]) == (1, [LookupError] * callers)
    assert await flights.afetch_once("key", Source("back").afetch) == "back"


async def test_a_traceback_does_not_grow_with_each_caller(flights):
    source = Source(LookupError("gone"))
    ends = await asyncio.gather(
        *(flights.afetch_once("key", source.afetch) for _ in range(200)), return_exceptions=True
    )

    assert len(traceback.extract_tb(ends[0].__traceback__)) < 10


async def test_an_exception_without_callers_is_not_logged(flights, caplog):
    gate = Gate(LookupError("gone"))
    (only,) = await gathered(1, lambda: flights.afetch_once("key", gate.fetch))
    only.cancel()
    gate.opened.set()
    await async_wait_until(lambda: flights.under_way == 0)

    gc.collect()
    await asyncio.sleep(0)

    assert caplog.records == []


async def test_a_cancelled_fetch_is_repeated_by_the_next_caller(flights):
    gate = Gate("value")
    first, *others = await gathered(3, lambda: flights.afetch_once("key", gate.fetch))
    await gate.started.wait()

    next(iter(flights.tasks)).cancel()
    gate.opened.set()

    assert await asyncio.gather(*others) == ["value", "value"]
    with pytest.raises(FetchAbandoned):
        await first
    assert gate.fetches == 2


async def test_a_fetch_cancelled_before_its_first_step_leaves_no_state(flights):
    first = asyncio.create_task(flights.afetch_once("key", Source().afetch))
    await asyncio.sleep(0)
    next(iter(flights.tasks)).cancel()

    with pytest.raises(FetchAbandoned):
        await first


async def test_a_fetch_of_its_own_key_is_an_error(flights):
    async def fetch():
        return await flights.afetch_once("key", fetch)

    with pytest.raises(RuntimeError, match="waits for itself"):
        await flights.afetch_once("key", fetch)


@pytest.mark.parametrize("count", [5000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_many_keys_leave_no_state(flights, count):
    async def fetch():
        return None

    for start in range(0, count, 1000):
        await asyncio.gather(*(flights.afetch_once(key, fetch) for key in range(start, start + 1000)))

    assert (flights.under_way, len(flights.tasks)) == (0, 0)


# --- Threads --------------------------------------------------------------------------------------------


class CountedFlights(Flights):
    """Counts callers, so that a fetch can wait for them."""

    joined = 0

    def join(self, key):
        found = super().join(key)
        with self._lock:
            self.joined += 1
        return found

    def everybody_is_here(self, count=THREADS):
        return wait_until(lambda: self.joined >= count)


@pytest.mark.parametrize("run", range(RUNS))
def test_concurrent_threads_cause_one_fetch(run):
    flights, source = CountedFlights(), Source(run)

    def fetch():
        flights.everybody_is_here()
        return source.fetch()

    assert in_threads(lambda: flights.fetch_once("key", fetch)) == [run] * THREADS
    assert (source.fetches, flights.under_way) == (1, 0)


def test_an_exception_reaches_all_threads_that_wait():
    flights, source = CountedFlights(), Source(LookupError("gone"))

    def fetch():
        flights.everybody_is_here()
        return source.fetch()

    ends = in_threads(lambda: flights.fetch_once("key", fetch))

    assert ([type(end) for end in ends], source.fetches) == ([LookupError] * THREADS, 1)


def test_after_an_interrupted_thread_another_one_fetches():
    flights, fetched = CountedFlights(), []

    def fetch():
        flights.everybody_is_here()
        fetched.append(1)
        if len(fetched) == 1:
            raise KeyboardInterrupt
        return "value"

    def call():
        try:
            return flights.fetch_once("key", fetch)
        except KeyboardInterrupt:
            return "stopped"

    assert sorted(in_threads(call)) == ["stopped", *["value"] * (THREADS - 1)]
    assert flights.under_way == 0


def test_a_stop_iteration_does_not_leave_tasks_waiting(flights):
    with pytest.raises(RuntimeError, match="StopIteration"):
        flights.fetch_once("key", lambda: next(iter(())))


def test_a_thread_that_waits_for_itself_is_an_error(flights):
    with pytest.raises(RuntimeError, match="waits for itself"):
        flights.fetch_once("key", lambda: flights.fetch_once("key", str))


# --- Both -----------------------------------------------------------------------------------------------


async def test_threads_and_tasks_share_one_fetch():
    for leads in ("thread", "task"):
        flights, source, loop = CountedFlights(), Source(leads), asyncio.get_running_loop()

        def fetch(flights=flights, source=source):
            flights.everybody_is_here(6)
            return source.fetch()

        def from_thread(flights=flights, fetch=fetch, loop=loop):
            return loop.run_in_executor(None, flights.fetch_once, "key", fetch)

        async def from_task(flights=flights, fetch=fetch):
            return await flights.afetch_once("key", lambda: asyncio.to_thread(fetch))

        first = [from_thread()] if leads == "thread" else [asyncio.create_task(from_task())]
        await async_wait_until(lambda flights=flights: flights.joined)
        others = [*(from_thread() for _ in range(2)), *(asyncio.create_task(from_task()) for _ in range(3))]

        assert await asyncio.gather(*first, *others) == [leads] * 6
        assert (source.fetches, flights.under_way) == (1, 0)


async def test_an_event_loop_is_never_blocked_by_its_own_task(flights):
    gate = Gate("value")
    (task,) = await gathered(1, lambda: flights.afetch_once("key", gate.fetch))

    with pytest.raises(RuntimeError, match="its own event loop"):
        flights.fetch_once("key", str)

    gate.opened.set()
    await task


def test_a_fetch_on_a_closed_event_loop_is_repeated_on_another(flights):
    begun, ended = threading.Event(), threading.Event()

    async def never():
        begun.set()
        await asyncio.Event().wait()

    async def first_loop():
        caller = asyncio.create_task(flights.afetch_once("key", never))
        await asyncio.to_thread(ended.wait)
        caller.cancel()

    async def second_loop():
        waiting = asyncio.create_task(flights.afetch_once("key", Source("mine").afetch))
        await asyncio.sleep(0)
        ended.set()
        return await waiting

    dying = threading.Thread(target=lambda: asyncio.run(first_loop()))
    dying.start()
    begun.wait()

    assert asyncio.run(second_loop()) == "mine"
    dying.join()
