"""Objects of an event loop: one for each, and gone with the loop."""

import asyncio
import gc
import threading
import weakref

from asgiref.sync import async_to_sync

from config.per_loop import PerLoop


class Thing:
    def __init__(self):
        self.loop = asyncio.get_running_loop()


def test_tasks_of_a_loop_share_one_object_and_other_loops_have_their_own():
    things = PerLoop(Thing)

    async def both():
        return things(), await asyncio.create_task(again())

    async def again():
        return things()

    first, second = asyncio.run(both())
    assert first is second
    assert asyncio.run(again()) is not first


def test_an_object_is_made_again_after_it_was_popped():
    things = PerLoop(Thing)

    async def replaced():
        first = things()
        return first, things.pop(), things.pop(), things()

    first, popped, second_pop, later = asyncio.run(replaced())
    assert popped is first
    assert second_pop is None
    assert later is not first


def test_the_object_of_a_closed_loop_is_dropped_with_the_loop():
    things = PerLoop(Thing)

    async def make():
        return weakref.ref(things()), weakref.ref(asyncio.get_running_loop())

    refs = asyncio.run(make())
    asyncio.run(make())
    gc.collect()

    assert [ref() for ref in refs] == [None, None]


def test_loops_of_several_threads_keep_their_objects():
    things = PerLoop(Thing)
    barrier = threading.Barrier(8)
    same = []

    async def use():
        first = things()
        await asyncio.to_thread(barrier.wait)
        same.append(things() is first)

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert same == [True] * 8


def test_the_object_is_closed_when_its_loop_shuts_down():
    closed = []

    async def close(thing):
        await asyncio.sleep(0)
        closed.append(thing)

    things = PerLoop(Thing, close=close)

    async def make():
        return things()

    made = asyncio.run(make())
    assert closed == [made]
    assert async_to_sync(make)() in closed
    assert len(closed) == 2


def test_a_popped_object_is_not_closed_a_second_time():
    closed = []

    async def close(thing):
        closed.append(thing)

    things = PerLoop(Thing, close=close)

    async def make_and_pop():
        things()
        things.pop()
        return things()

    assert asyncio.run(make_and_pop()) is closed[0]
    assert len(closed) == 1
