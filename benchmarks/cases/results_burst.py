"""A burst of forty results of 100 KB, each with five listeners, from the first byte until all are notified.

One connection carries the results of all workers, so that this process, which also simulates the listeners,
takes little time for it. The baseline finishes the same jobs command by command and notifies each listener
by its own message through the channel layer.
"""

import asyncio
import json
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec
from asgiref.sync import async_to_sync

from benchmarks.closed_loop import percentile, redis_command
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack, wait_for_quiet
from tests.stack import Stack
from tests.waiting import async_wait_until
from yapit.load import RawSocket

if TYPE_CHECKING:
    from redis import Redis

    from benchmarks.factories import BenchmarkAccount
    from yapit.jobs import Claimed

BYTES = 100_000
RESULTS = 40
LISTENERS = 5
AT_ONCE = 32  # blocks in a message
TARGET_MS = 25.0


@benchmark("results_burst")
def results_burst(size: Size) -> Iterator[Figure]:
    rounds = size.pick(10, 60)
    with launched_stack() as stack:
        from benchmarks.factories import make_accounts, switch_on

        switch_on("tone")
        [account] = make_accounts(1)
        for name in ("billing", "persister", "scheduler"):
            stack.start(name, f"run_{name}")
        naive = asyncio.run(naive_bursts(stack, max(1, rounds // 4)))
        stack.start("results", "run_results")
        for server in ("uvicorn", "daphne"):
            stack.start_web(server)
            asyncio.run(bursts(stack, account, make_documents(account, 2)))  # warm-up
            waits, pushes = asyncio.run(bursts(stack, account, make_documents(account, rounds)))
            name = f"results_burst.{server}"
            pushed = percentile(pushes, 50) * 1000
            for percent, target in ((50, None), (99, TARGET_MS)):
                yield Figure(
                    f"{name}.p{percent}",
                    percentile(waits, percent) * 1000,
                    "ms",
                    "lower",
                    target=target,
                    baseline=percentile(naive, percent) * 1000,
                    limit=pushed,
                )
            stack.stop("web")


def make_documents(account: "BenchmarkAccount", count: int) -> list[str]:
    from benchmarks.factories import make_document

    return [
        make_document(account, [f"Benchmark text {secrets.token_hex(16)}." for _ in range(RESULTS)])
        for _ in range(count)
    ]


async def bursts(
    stack: Stack, account: "BenchmarkAccount", documents: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Seconds until each listener received each status; seconds until the server had received each burst."""
    waits: list[float] = []
    pushes: list[float] = []
    async with AsyncExitStack() as ending:
        receivers = [StatusReceiver() for _ in range(LISTENERS)]
        sockets = [await RawSocket.open(stack.url, account.token, one.receive, one.fail) for one in receivers]
        for socket_ in sockets:
            ending.push_async_callback(socket_.close)
        for document in documents:
            claimed = await _claim_all_requested(stack, document, sockets)
            message = _submissions(stack, claimed)
            received = [receiver.begin() for receiver in receivers]
            begun = time.perf_counter()
            pushes.append(await asyncio.to_thread(_push, stack, message))
            for times in await asyncio.gather(*received):
                waits += [at - begun for at in times]
            await asyncio.to_thread(wait_for_quiet, stack)
    return waits, pushes


class StatusReceiver:
    """The times at which one listener received its statuses."""

    def begin(self) -> "asyncio.Future[list[float]]":
        self._times: list[float] = []
        self._all = asyncio.get_running_loop().create_future()
        return self._all

    def receive(self, text: memoryview) -> None:
        status = json.loads(bytes(text))["status"]
        if status == "queued":
            return
        self._times.append(time.perf_counter())
        if status != "cached":
            self.fail(f"not spoken: {status}")
        elif len(self._times) == RESULTS:
            self._all.set_result(self._times)

    def fail(self, why: object) -> None:
        if not self._all.done():
            self._all.set_exception(RuntimeError(f"lost: {why}"))


async def _claim_all_requested(stack: Stack, document: str, sockets: Sequence[RawSocket]) -> list["Claimed"]:
    """The claimed jobs of a new document, once every listener waits for every block."""
    for socket_ in sockets:
        for first in range(0, RESULTS, AT_ONCE):
            indices = list(range(first, min(first + AT_ONCE, RESULTS)))
            socket_.send(json.dumps(_request(document, indices)).encode())
    with stack.redis as redis:
        claimed: list[Claimed] = []
        await async_wait_until(lambda: _claim_more(redis, claimed) == RESULTS)
        await async_wait_until(
            lambda: all(redis.scard(f"subs:{job.spec.key}") == LISTENERS for job in claimed)
        )
    return claimed


def _claim_more(redis: "Redis", claimed: list["Claimed"]) -> int:
    from yapit import jobs

    while job := jobs.claim(redis, "tone", "bench"):
        claimed.append(job)
    return len(claimed)


def _request(document: str, indices: Sequence[int]) -> dict[str, object]:
    return {
        "type": "synthesize",
        "document_id": document,
        "block_indices": indices,
        "model": "tone",
        "voice": "instant",
    }


def _submissions(stack: Stack, claimed: Sequence["Claimed"]) -> bytes:
    """The commands of all workers as bytes."""
    from tests.yapit.jobs.job_steps import make_blob
    from yapit.jobs import SUBMIT

    with stack.redis as redis:
        redis.script_load(SUBMIT.text)
    audio = make_blob(b"OggS" + secrets.token_bytes(BYTES), duration_ms=20_000)
    fields = msgspec.msgpack.encode(["duration_ms", 20_000])
    parts = [redis_command(b"AUTH", stack.valkey.password.encode())]
    for job in claimed:
        upload, job_id = f"up:{job.id}:bench".encode(), job.id.encode()
        arguments = (job_id, b"bench", b"c", b"", fields, b"", b"", b"10000")
        parts += [
            redis_command(b"SET", upload, audio, b"EX", b"600"),
            redis_command(b"EVALSHA", SUBMIT.sha.encode(), b"0", *arguments),
        ]
    return b"".join(parts)


def _push(stack: Stack, message: bytes) -> float:
    """Seconds until the server has answered all commands."""
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", stack.valkey.port)) as connection:
        connection.sendall(message)
        answers = b""
        while answers.count(b"OK\r\n") < 1 + 2 * RESULTS:
            answers += (received := connection.recv(65536))
            if not received or b"-ERR" in answers:
                raise ConnectionError(f"the server answered {answers[-200:]!r}")
    return time.perf_counter() - begun


# --- Baseline -------------------------------------------------------------------------------------------


async def naive_bursts(stack: Stack, rounds: int) -> list[float]:
    from config.redis.clients import close_hot

    waits: list[float] = []
    for _ in range(rounds):
        waits += await _naive_burst(stack)
    await close_hot()
    return waits


async def _naive_burst(stack: Stack) -> list[float]:
    """Notification through the channel layer, without sockets and web process."""
    from channels_redis.pubsub import RedisPubSubChannelLayer

    from config.streams import StreamConsumer
    from tests.faults.naive import NaiveResults
    from tests.yapit.jobs.job_steps import enqueue, make_spec
    from yapit import jobs

    layer = RedisPubSubChannelLayer(hosts=[stack.valkey.url], prefix="naive")
    channels = [await layer.new_channel() for _ in range(LISTENERS)]
    for channel in channels:
        await layer.group_add(channel, channel)
    group_send = async_to_sync(layer.group_send)

    class GroupResults(NaiveResults):
        def _ring(self, hash_: str, members: set[bytes], status: str) -> None:
            for channel in channels:
                group_send(channel, {"type": "status", "hash": hash_, "status": status})

    def submit_and_finish(message: bytes) -> None:
        _push(stack, message)
        with stack.redis as redis:
            consumer = StreamConsumer(GroupResults(redis), redis, number=9)
            while consumer.run_once(wait=False):
                pass

    with stack.redis as redis:
        for _ in range(RESULTS):
            enqueue(redis, make_spec(f"Benchmark text {secrets.token_hex(16)}."))
        claimed = [jobs.claim(redis, "tone", "bench") for _ in range(RESULTS)]
    message = _submissions(stack, claimed)
    begun = time.perf_counter()
    finishing = asyncio.create_task(asyncio.to_thread(submit_and_finish, message))
    waits = await asyncio.gather(*(_receive_all(layer, channel, begun) for channel in channels))
    await finishing
    await layer.flush()
    return [wait for each in waits for wait in each]


async def _receive_all(layer: Any, channel: str, begun: float) -> list[float]:
    waits = []
    for _ in range(RESULTS):
        await layer.receive(channel)
        waits.append(time.perf_counter() - begun)
    return waits
