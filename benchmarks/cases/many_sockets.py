"""Many sockets: their memory, how fast one among them is, and how soon all hear of one block.

And one document that is as long as documents get, while somebody else listens to another.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.closed_loop import percentile
from benchmarks.raw_sockets import Asker, ask_again_and_again, asking, synthesize
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import cpu_by_process, launched_stack
from tests.stack import Stack

SERVERS = ("uvicorn", "daphne")
SOCKETS = 1000
LISTENERS = 500
WARM_UP = 3  # rounds
LONGEST = 33_000  # blocks
MESSAGE = range(8)


@benchmark("open_sockets")
def open_sockets(size: Size) -> Iterator[Figure]:
    """Few seconds, whatever the size: these sockets answer no pings."""
    with launched_stack() as stack:
        from benchmarks import cached_audio

        [listener] = cached_audio.listeners(1, 32)
        cached_audio.put_audio(stack, [listener.document_id])
        for server in SERVERS:
            stack.start_web(server)
            ask_again_and_again(stack.url, [listener] * 20, MESSAGE, seconds=0.5)  # loads what is loaded late
            before = resident(stack)
            with contextlib.ExitStack() as ending:
                for _ in range(SOCKETS):
                    ending.enter_context(asking(stack.url, listener))
                kilobytes = (resident(stack) - before) / SOCKETS
                driven = ask_again_and_again(stack.url, [listener], MESSAGE, seconds=3)
            name = f"open_sockets.{server}"
            yield Figure(f"{name}.memory", kilobytes, "KB/socket", "lower", target=45.0)
            yield Figure(f"{name}.active_p99", driven.p99_ms, "ms", "lower", target=6.0)
            stack.stop("web")


def resident(stack: Stack) -> int:
    """Kilobytes of the web process."""
    status = Path(f"/proc/{stack.processes['web'].pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@benchmark("large_document")
def large_document(size: Size) -> Iterator[Figure]:
    """Eight blocks anywhere in it, none of them asked for before."""
    with launched_stack() as stack:
        from benchmarks import cached_audio

        listener, neighbour = cached_audio.listeners(2, 32)
        listener = cached_audio.with_long_document(listener, LONGEST)
        places = [place * 500 for place in range(1, size.pick(40, 65))]
        for place in places:
            cached_audio.put_audio(stack, [listener.document_id], place, place + 7)
        cached_audio.put_audio(stack, [neighbour.document_id])
        for server in SERVERS:
            name = f"large_document.{server}"
            stack.start_web(server)
            with asking(stack.url, listener) as asker, asking(stack.url, neighbour) as other:
                alone = [other.ask(MESSAGE) for _ in range(300)]
                with going_on(other) as beside:
                    waits = [asker.ask(range(place, place + 8)) for place in places]
            yield Figure(f"{name}.p50", median(waits) * 1000, "ms", "lower", target=20.0)
            yield Figure(f"{name}.slowest", max(waits) * 1000, "ms", "lower")
            yield Figure(
                f"{name}.neighbour_p99",
                percentile(beside, 99) * 1000,
                "ms",
                "lower",
                baseline=percentile(alone, 99) * 1000,
            )
            stack.stop("web")


@contextlib.contextmanager
def going_on(other: Asker) -> Iterator[list[float]]:
    """Somebody asks for the same blocks all the while."""
    waits: list[float] = []
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            waits.append(other.ask(MESSAGE))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()


@benchmark("identical_requests")
def identical_requests(size: Size) -> Iterator[Figure]:
    """500 accounts ask for the same new block of a public document, until the last of them has it."""
    with launched_stack() as stack:
        from benchmarks import cached_audio

        rounds = size.pick(20, 60)
        accounts = cached_audio.make_accounts(LISTENERS)
        stack.start_cold()
        stack.start("worker", "run_worker", "--model", "tone")
        for server in SERVERS:
            stack.start_web(server)
            listeners = cached_audio.audience(accounts, rounds + WARM_UP)
            with contextlib.ExitStack() as ending:
                askers = [ending.enter_context(asking(stack.url, listener)) for listener in listeners]
                for block in range(rounds, rounds + WARM_UP):  # the first of which looks everybody up
                    all_at_once(askers, block)
                before, used = finished(stack), cpu_by_process(stack)
                lasts = [all_at_once(askers, block) for block in range(rounds)]
                jobs, used = finished(stack) - before, cpu_by_process(stack) - used
            name = f"identical_requests.{server}"
            yield Figure(f"{name}.syntheses", jobs / rounds, "per request", "lower", target=1.0)
            yield Figure(f"{name}.last_p99", percentile(lasts, 99) * 1000, "ms", "lower", target=150.0)
            yield Figure(f"{name}.last_p50", median(lasts) * 1000, "ms", "lower")
            yield Figure(f"{name}.cpu.web", used["web"] * 1000 / rounds, "ms/request", "lower")
            stack.stop("web")


def all_at_once(askers: Sequence[Asker], block: int) -> float:
    """Seconds until the last of them has it; each is told exactly once, or this waits for ever."""
    frames = [synthesize(asker.listener, [block]) for asker in askers]
    begun = time.perf_counter()
    for asker, frame in zip(askers, frames, strict=True):
        asker.write(frame)
    for asker in askers:
        asker.wait_for([block])
    return time.perf_counter() - begun


def finished(stack: Stack) -> int:
    with stack.redis as redis:
        return int(redis.zcard("finished"))
