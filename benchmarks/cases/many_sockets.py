"""Many sockets: memory, latency of one of them, and notification of all of one block.

Also: a document of the maximum length, and the latency of another listener meanwhile.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.closed_loop import percentile
from benchmarks.raw_sockets import RawClient, connected_client, request_repeatedly, synthesize
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
    """A few seconds at any size, since these sockets answer no pings."""
    with launched_stack() as stack:
        from benchmarks import cached_audio

        [listener] = cached_audio.listeners(1, 32)
        cached_audio.put_audio(stack, [listener.document_id])
        for server in SERVERS:
            stack.start_web(server)
            request_repeatedly(stack.url, [listener] * 20, MESSAGE, seconds=0.5)  # warm-up
            before = resident(stack)
            with contextlib.ExitStack() as ending:
                for _ in range(SOCKETS):
                    ending.enter_context(connected_client(stack.url, listener))
                kilobytes = (resident(stack) - before) / SOCKETS
                result = request_repeatedly(stack.url, [listener], MESSAGE, seconds=3)
            name = f"open_sockets.{server}"
            yield Figure(f"{name}.memory", kilobytes, "KB/socket", "lower", target=45.0)
            yield Figure(f"{name}.active_p99", result.p99_ms, "ms", "lower", target=6.0)
            stack.stop("web")


def resident(stack: Stack) -> int:
    """Resident memory of the web process in kilobytes."""
    status = Path(f"/proc/{stack.processes['web'].pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@benchmark("large_document")
def large_document(size: Size) -> Iterator[Figure]:
    """Eight blocks anywhere in the document, not requested before."""
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
            with (
                connected_client(stack.url, listener) as client,
                connected_client(stack.url, neighbour) as other,
            ):
                alone = [other.request(MESSAGE) for _ in range(300)]
                with requesting(other) as meanwhile:
                    waits = [client.request(range(place, place + 8)) for place in places]
            yield Figure(f"{name}.p50", median(waits) * 1000, "ms", "lower", target=20.0)
            yield Figure(f"{name}.slowest", max(waits) * 1000, "ms", "lower")
            yield Figure(
                f"{name}.neighbour_p99",
                percentile(meanwhile, 99) * 1000,
                "ms",
                "lower",
                baseline=percentile(alone, 99) * 1000,
            )
            stack.stop("web")


@contextlib.contextmanager
def requesting(other: RawClient) -> Iterator[list[float]]:
    """Another listener requests the same blocks continuously."""
    waits: list[float] = []
    stopped = threading.Event()

    def listen() -> None:
        while not stopped.is_set():
            waits.append(other.request(MESSAGE))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield waits
    finally:
        stopped.set()
        thread.join()


@benchmark("identical_requests")
def identical_requests(size: Size) -> Iterator[Figure]:
    """500 accounts request the same new block of a public document; time until the last is answered."""
    with launched_stack() as stack:
        from benchmarks import cached_audio
        from benchmarks.factories import make_accounts

        rounds = size.pick(20, 60)
        accounts = make_accounts(LISTENERS)
        stack.start_cold()
        stack.start("worker", "run_worker", "--model", "tone")
        for server in SERVERS:
            stack.start_web(server)
            listeners = cached_audio.audience(accounts, rounds + WARM_UP)
            with contextlib.ExitStack() as ending:
                clients = [
                    ending.enter_context(connected_client(stack.url, listener)) for listener in listeners
                ]
                for block in range(rounds, rounds + WARM_UP):  # fills the caches
                    request_together(clients, block)
                before, used = finished(stack), cpu_by_process(stack)
                lasts = [request_together(clients, block) for block in range(rounds)]
                jobs, used = finished(stack) - before, cpu_by_process(stack) - used
            name = f"identical_requests.{server}"
            yield Figure(f"{name}.syntheses", jobs / rounds, "per request", "lower", target=1.0)
            yield Figure(f"{name}.last_p99", percentile(lasts, 99) * 1000, "ms", "lower", target=150.0)
            yield Figure(f"{name}.last_p50", median(lasts) * 1000, "ms", "lower")
            yield Figure(f"{name}.cpu.web", used["web"] * 1000 / rounds, "ms/request", "lower")
            stack.stop("web")


def request_together(clients: Sequence[RawClient], block: int) -> float:
    """Seconds until the last one is answered. Waits for ever if a status is missing."""
    frames = [synthesize(client.listener, [block]) for client in clients]
    begun = time.perf_counter()
    for client, frame in zip(clients, frames, strict=True):
        client.write(frame)
    for client in clients:
        client.wait_for([block])
    return time.perf_counter() - begun


def finished(stack: Stack) -> int:
    with stack.redis as redis:
        return int(redis.zcard("finished"))
