"""WebSocket messages: latency, rate and queries for cached and for new blocks.

Listeners repeat their requests as soon as they are answered, over raw connections.
"""

from collections import Counter
from collections.abc import Iterator

from benchmarks.awake import awake
from benchmarks.closed_loop import LoadResult, percentile
from benchmarks.query_counts import Queries, log_statements, recorded
from benchmarks.raw_sockets import connected_client, request_repeatedly
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import cpu_by_process, launched_stack, running_server
from tests.stack import Stack
from yapit.load import Listener

SERVERS = ("uvicorn", "daphne")
CONNECTIONS = 200
MESSAGE = range(8)
LARGEST = range(32)
TIMES = 20  # messages over which statements and exchanges are counted


@benchmark("wire_cached_message")
def wire_cached_message(size: Size) -> Iterator[Figure]:
    seconds = size.pick(3.0, 15.0)
    with running_server("benchmarks.stub_server", "sockets") as url:
        limit = p50(request_repeatedly(url, stub_listeners(1), MESSAGE, seconds=1, is_batched=None))
    with awake(), launched_stack() as stack:
        [listener] = prepared(stack, 1)
        for server in SERVERS:
            name = f"wire_cached_message.{server}"
            stack.start_web(server)
            result = request_repeatedly(stack.url, [listener], MESSAGE, seconds=seconds)
            yield Figure(f"{name}.p50", p50(result), "ms", "lower", target=1.5, limit=limit)
            yield Figure(f"{name}.p99", result.p99_ms, "ms", "lower")
            yield from counts(name, cached_again(stack, listener), (1, 3))
            stack.stop("web")


def cached_again(stack: Stack, listener: Listener) -> Queries:
    """Queries of later messages; the first one of a connection also reads its account and document."""
    with connected_client(stack.url, listener) as client:
        client.request(MESSAGE)
        with recorded(stack) as queries:
            for _ in range(TIMES):
                client.request(MESSAGE)
    return queries


@benchmark("wire_cached_blocks")
def wire_cached_blocks(size: Size) -> Iterator[Figure]:
    seconds = size.pick(3.0, 15.0)
    with running_server("benchmarks.stub_server", "sockets") as url:
        alone = request_repeatedly(url, stub_listeners(CONNECTIONS), LARGEST, seconds=1, is_batched=None)
        limit = alone.rate * len(LARGEST)
    with launched_stack() as stack:
        listeners = prepared(stack, CONNECTIONS)
        for server in SERVERS:
            stack.start_web(server)
            request_repeatedly(stack.url, listeners, LARGEST, seconds=0.5)  # warm-up
            rate: float | None = None
            for is_batched, target in ((False, 15_000), (True, 25_000)):
                name = f"wire_cached_blocks.{server}{'.batched' if is_batched else ''}"
                before = cpu_by_process(stack)
                result = request_repeatedly(
                    stack.url, listeners, LARGEST, seconds=seconds, is_batched=is_batched
                )
                used = cpu_by_process(stack) - before
                baseline, rate = rate, result.rate * len(LARGEST)
                yield Figure(
                    f"{name}.rate", rate, "blocks/s", "higher", target=target, baseline=baseline, limit=limit
                )
                yield from cpu_figures(name, used, result)
            stack.stop("web")


def cpu_figures(name: str, used: Counter[str], result: LoadResult) -> Iterator[Figure]:
    """CPU per block; the time of the servers includes the warm-up."""
    blocks = len(result.latencies) * len(LARGEST)
    for process in ("web", "valkey"):
        if process in used:
            yield Figure(f"{name}.cpu.{process}", used[process] * 1e6 / (1.2 * blocks), "us/block", "lower")
    yield Figure(f"{name}.cpu.generator", result.cpu_seconds * 1e6 / blocks, "us/block", "lower")


@benchmark("wire_new_blocks")
def wire_new_blocks(size: Size) -> Iterator[Figure]:
    """Statements and commands until 32 blocks are queued, of a first message and of later ones."""
    with launched_stack() as stack:
        log_statements()
        from benchmarks import cached_audio

        listeners = cached_audio.listeners(2 * len(SERVERS), 320)
        for server in SERVERS:
            name = f"wire_new_blocks.{server}"
            stack.start_web(server)
            with connected_client(stack.url, listeners.pop()) as warm_up:
                warm_up.request(LARGEST, status=b"queued")
            with connected_client(stack.url, listeners.pop()) as client:
                with recorded(stack) as first:
                    client.request(LARGEST, status=b"queued")
                with recorded(stack) as later:
                    for begin in range(32, 320, 32):
                        client.request(range(begin, begin + 32), status=b"queued")
            yield from counts(f"{name}.first", first, (6, None), messages=1)  # two of four are pipelined
            yield from counts(f"{name}.later", later, (6, 3), messages=9)
            checks = [text for text in later.statements if "yapit_block" not in text]
            yield Figure(f"{name}.checks", len(checks) / 288, "statements/block", "lower", target=0.1)
            stack.stop("web")


def prepared(stack: Stack, count: int) -> list[Listener]:
    """Listeners with 32 cached blocks."""
    from benchmarks import cached_audio

    log_statements()
    listeners = cached_audio.listeners(count, len(LARGEST))
    cached_audio.put_audio(stack, [listener.document_id for listener in listeners])
    return listeners


def stub_listeners(count: int) -> list[Listener]:
    return [Listener("", "00000000-0000-0000-0000-000000000000", len(LARGEST))] * count


def counts(
    name: str, queries: Queries, targets: tuple[int, int | None], messages: int = TIMES
) -> Iterator[Figure]:
    statements, exchanges = len(queries.statements) / messages, len(queries.exchanges) / messages
    yield Figure(f"{name}.statements", statements, "per message", "lower", target=targets[0])
    yield Figure(f"{name}.exchanges", exchanges, "per message", "lower", target=targets[1])


def p50(result: LoadResult) -> float:
    return percentile(result.latencies, 50) * 1000
