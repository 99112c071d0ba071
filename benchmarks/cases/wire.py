"""What a message on the WebSocket costs: blocks that are there, and blocks that are new.

Listeners ask again as soon as they have their answers, over connections that are written and read as bytes.
"""

from collections import Counter
from collections.abc import Iterator

from benchmarks.awake import awake
from benchmarks.closed_loop import Driven, percentile
from benchmarks.query_counts import Queries, watched, write_down_statements
from benchmarks.raw_sockets import ask_again_and_again, asking
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import beside, cpu_by_process, launched_stack
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
    with beside("benchmarks.stub_server", "sockets") as url:
        limit = p50(ask_again_and_again(url, nobody(1), MESSAGE, seconds=1, is_batched=None))
    with awake(), launched_stack() as stack:
        [listener] = prepared(stack, 1)
        for server in SERVERS:
            name = f"wire_cached_message.{server}"
            stack.start_web(server)
            driven = ask_again_and_again(stack.url, [listener], MESSAGE, seconds=seconds)
            yield Figure(f"{name}.p50", p50(driven), "ms", "lower", target=1.5, limit=limit)
            yield Figure(f"{name}.p99", driven.p99_ms, "ms", "lower")
            yield from counts(name, cached_again(stack, listener), (1, 3))
            stack.stop("web")


def cached_again(stack: Stack, listener: Listener) -> Queries:
    """The first message of a connection apart: that one looks its listener up."""
    with asking(stack.url, listener) as asker:
        asker.ask(MESSAGE)
        with watched(stack) as asked:
            for _ in range(TIMES):
                asker.ask(MESSAGE)
    return asked


@benchmark("wire_cached_blocks")
def wire_cached_blocks(size: Size) -> Iterator[Figure]:
    seconds = size.pick(3.0, 15.0)
    with beside("benchmarks.stub_server", "sockets") as url:
        alone = ask_again_and_again(url, nobody(CONNECTIONS), LARGEST, seconds=1, is_batched=None)
        limit = alone.rate * len(LARGEST)
    with launched_stack() as stack:
        listeners = prepared(stack, CONNECTIONS)
        for server in SERVERS:
            stack.start_web(server)
            ask_again_and_again(stack.url, listeners, LARGEST, seconds=0.5)  # looks everybody up
            rate: float | None = None
            for is_batched, target in ((False, 15_000), (True, 25_000)):
                name = f"wire_cached_blocks.{server}{'.batched' if is_batched else ''}"
                before = cpu_by_process(stack)
                driven = ask_again_and_again(
                    stack.url, listeners, LARGEST, seconds=seconds, is_batched=is_batched
                )
                used = cpu_by_process(stack) - before
                baseline, rate = rate, driven.rate * len(LARGEST)
                yield Figure(
                    f"{name}.rate", rate, "blocks/s", "higher", target=target, baseline=baseline, limit=limit
                )
                yield from cpu_figures(name, used, driven)
            stack.stop("web")


def cpu_figures(name: str, used: Counter[str], driven: Driven) -> Iterator[Figure]:
    """The warm-up's blocks are in the seconds of the servers, too."""
    blocks = len(driven.latencies) * len(LARGEST)
    for process in ("web", "valkey"):
        if process in used:
            yield Figure(f"{name}.cpu.{process}", used[process] * 1e6 / (1.2 * blocks), "us/block", "lower")
    yield Figure(f"{name}.cpu.generator", driven.cpu_seconds * 1e6 / blocks, "us/block", "lower")


@benchmark("wire_new_blocks")
def wire_new_blocks(size: Size) -> Iterator[Figure]:
    """Until 32 blocks are queued: statements and commands of a first message, and of later ones."""
    with launched_stack() as stack:
        write_down_statements()
        from benchmarks import cached_audio

        listeners = cached_audio.listeners(2 * len(SERVERS), 320)
        for server in SERVERS:
            name = f"wire_new_blocks.{server}"
            stack.start_web(server)
            with asking(stack.url, listeners.pop()) as somebody_before:
                somebody_before.ask(LARGEST, status=b"queued")
            with asking(stack.url, listeners.pop()) as asker:
                with watched(stack) as first:
                    asker.ask(LARGEST, status=b"queued")
                with watched(stack) as later:
                    for begin in range(32, 320, 32):
                        asker.ask(range(begin, begin + 32), status=b"queued")
            yield from counts(f"{name}.first", first, (6, None), messages=1)  # two of four leave together
            yield from counts(f"{name}.later", later, (6, 3), messages=9)
            checks = [text for text in later.statements if "yapit_block" not in text]
            yield Figure(f"{name}.checks", len(checks) / 288, "statements/block", "lower", target=0.1)
            stack.stop("web")


def prepared(stack: Stack, count: int) -> list[Listener]:
    """Listeners with 32 blocks that are there."""
    from benchmarks import cached_audio

    write_down_statements()
    listeners = cached_audio.listeners(count, len(LARGEST))
    cached_audio.put_audio(stack, [listener.document_id for listener in listeners])
    return listeners


def nobody(count: int) -> list[Listener]:
    return [Listener("", "00000000-0000-0000-0000-000000000000", len(LARGEST))] * count


def counts(
    name: str, asked: Queries, targets: tuple[int, int | None], messages: int = TIMES
) -> Iterator[Figure]:
    statements, exchanges = len(asked.statements) / messages, len(asked.exchanges) / messages
    yield Figure(f"{name}.statements", statements, "per message", "lower", target=targets[0])
    yield Figure(f"{name}.exchanges", exchanges, "per message", "lower", target=targets[1])


def p50(driven: Driven) -> float:
    return percentile(driven.latencies, 50) * 1000
