"""Response cache: builds for concurrent requests, polling while the database is blocked, 304 responses."""

import asyncio
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import psycopg.sql

from benchmarks import closed_loop
from benchmarks.closed_loop import LoadResult, address_of, percentile
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import cpu_by_process, launched_stack, running_server
from tests.stack import Stack

REQUESTS = 500
PROCESSES = 3  # number of caches on one Redis
BUILD_SECONDS = 0.2
GATE_SECONDS = 0.5
POLLS_PER_SECOND = 50
TIMEOUT_SECONDS = 2.0  # of a poll, which then counts as an error
CONNECTIONS = 16
POLLED = "/v1/leaderboard/recent?limit=100"
SERVERS = ("daphne", "uvicorn")


@benchmark("response_cache")
def response_cache(size: Size) -> Iterator[Figure]:
    with launched_stack(RESPONSE_SECONDS="1") as stack:
        yield from asyncio.run(concurrent_requests(size.pick(2.5, 10.0)))
        uncached, key = make_rows()
        for server in SERVERS:
            stack.start_web(server)
            yield from not_modified_against_full(stack, server, size.pick(1.0, 15.0))
            yield from polled_while_blocked(stack, server, uncached, key, size.pick(3.0, 10.0))
            stack.stop("web")


# --- Concurrent requests: counts, which do not depend on the machine ---------------------------------------


@dataclass(slots=True)
class Builder:
    """Builds a response, slowly enough for all requests to be concurrent."""

    builds: int = 0
    fails: bool = False

    async def build(self) -> bytes:
        self.builds += 1
        await asyncio.sleep(0.01 if self.fails else BUILD_SECONDS)
        if self.fails:
            raise LookupError
        return b"body"


def make_caches() -> list[Any]:
    from config.caching import TtlResponseCache

    name = f"benchmark-{secrets.token_hex(4)}"
    return [TtlResponseCache(name, gate_seconds=GATE_SECONDS) for _ in range(PROCESSES)]


async def concurrent_requests(failing_seconds: float) -> list[Figure]:
    cold, cancelled, failing = Builder(), Builder(), Builder()
    failed = await request_together(make_caches(), cold)
    others_failed = await request_together(make_caches(), cancelled, cancel_first=True)
    served, errors, attempts = await request_failing(make_caches(), failing, failing_seconds)
    uncached = Builder()
    await asyncio.gather(*(uncached.build() for _ in range(REQUESTS)))
    return [
        Figure("response_cache.cold.builds", cold.builds, "", "lower", target=1, baseline=uncached.builds),
        Figure("response_cache.cold.failed", failed, "requests", "lower", target=0),
        Figure("response_cache.leader_cancelled.builds", cancelled.builds, "", "lower", target=1),
        Figure("response_cache.leader_cancelled.failed", others_failed, "requests", "lower", target=0),
        Figure("response_cache.failing.errors", errors, "requests", "lower", target=0, baseline=served),
        Figure("response_cache.failing.attempts_per_gate", attempts, "", "lower", target=1),
    ]


async def request_together(caches: list[Any], builder: Builder, *, cancel_first: bool = False) -> int:
    """The number of failed requests."""
    tasks = [
        asyncio.create_task(caches[number % len(caches)].get(("key",), builder.build))
        for number in range(REQUESTS)
    ]
    if cancel_first:
        await asyncio.sleep(BUILD_SECONDS / 2)
        for first in tasks[: len(caches)]:
            first.cancel()
        tasks = tasks[len(caches) :]
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    return sum(isinstance(end, BaseException) for end in ends)


async def request_failing(caches: list[Any], builder: Builder, seconds: float) -> tuple[int, int, float]:
    """Number of requests, of errors, and of builds per interval of the gate."""
    for cache in caches:
        await cache.get(("key",), builder.build)
        await asyncio.sleep(0)
    await asyncio.sleep(1.1)  # all are stale
    before, builder.fails = builder.builds, True
    requests = errors = 0
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        for cache in caches:
            requests += 1
            try:
                await cache.get(("key",), builder.build)
            except LookupError:
                errors += 1
        await asyncio.sleep(0.002)
    # The first attempt opens the first interval.
    return requests, errors, (builder.builds - before) / (1 + int(seconds / GATE_SECONDS))


# --- While the database is blocked ------------------------------------------------------------------------


def make_rows() -> tuple[str, str]:
    """Fill a page of the leaderboard. Returns a path that is read from the database each time, and a key."""
    from django.utils import timezone

    from benchmarks.factories import make_accounts, make_document
    from yapit import documents
    from yapit.models import LeaderboardDay, LeaderboardRow, TTSModel, Voice

    model = TTSModel.objects.get(slug="hibari")
    Voice.objects.bulk_create(
        Voice(slug=f"voice-{rank}", name=f"Voice {rank}", model=model, language="en", approved=True)
        for rank in range(1, 51)
    )
    today = timezone.now().date()
    for ago in range(1, 5):
        day = today - timedelta(days=ago)
        LeaderboardDay.objects.create(day=day, rolled_up_at=timezone.now())
        LeaderboardRow.objects.bulk_create(
            LeaderboardRow(
                day=day,
                kind="voice",
                rank=rank,
                voice=f"voice-{rank}",
                model="hibari",
                characters=100_000 // rank,
                listeners=50 + rank,
            )
            for rank in range(1, 51)
        )
    (account,) = make_accounts(1)
    document = make_document(account, [f"Paragraph {number}." for number in range(50)])
    documents.change(document, account.user_id, is_public=True)  # type: ignore[arg-type]  # a UUID's text does
    return f"/v1/documents/{document}/blocks?limit=49", account.token


@dataclass(slots=True)
class Polled:
    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def p99_ms(self) -> float:
        return percentile(self.latencies, 99) * 1000


def polled_while_blocked(
    stack: Stack, server: str, uncached: str, key: str, seconds: float
) -> Iterator[Figure]:
    with_key = f"Authorization: Bearer {key}"
    stack.get(POLLED)
    stack.get(uncached, Authorization=f"Bearer {key}")
    with psycopg.connect(stack.env["DATABASE_URL"]) as blocker:
        block(blocker)
        cached = asyncio.run(poll(stack, POLLED, seconds))
        plain = asyncio.run(poll(stack, uncached, seconds, with_key))
        blocker.rollback()
    name, errors = f"response_cache.{server}.blocked", (cached.errors, plain.errors)
    yield Figure(f"{name}.p99", cached.p99_ms, "ms", "lower", target=10, baseline=plain.p99_ms)
    yield Figure(f"{name}.errors", errors[0], "requests", "lower", target=0, baseline=errors[1])
    yield Figure(f"{name}.requests", len(cached.latencies), "requests", "higher")


def block(blocker: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Lock all tables exclusively."""
    tables = blocker.execute("SELECT relname FROM pg_stat_user_tables").fetchall()
    names = psycopg.sql.SQL(", ").join(psycopg.sql.Identifier(name) for (name,) in tables)
    blocker.execute(psycopg.sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))


async def poll(stack: Stack, path: str, seconds: float, *headers: str) -> Polled:
    """Send POLLS_PER_SECOND requests a second, without waiting for responses (open loop)."""
    polled = Polled()
    request = closed_loop.http_get(path, "Connection: close", *headers)
    begun = time.perf_counter()

    async def one(due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        status = await request_once(address_of(stack.url), request)
        polled.latencies.append(time.perf_counter() - due)
        polled.errors += status != 200

    count = int(seconds * POLLS_PER_SECOND)
    await asyncio.gather(*(one(begun + number / POLLS_PER_SECOND) for number in range(count)))
    return polled


async def request_once(address: tuple[str, int], request: bytes) -> int:
    """The status; 0 for a closed connection or a timeout."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        response = await asyncio.wait_for(reader.read(), TIMEOUT_SECONDS)
    except TimeoutError:
        return 0
    finally:
        writer.close()
    return int(response.split(b" ", 2)[1]) if response.startswith(b"HTTP/") else 0


# --- 304 --------------------------------------------------------------------------------------------------


def not_modified_against_full(stack: Stack, server: str, seconds: float) -> Iterator[Figure]:
    headers = stack.get(POLLED)[2]
    with running_server("benchmarks.bare_asgi", server, headers["content-length"]) as url:
        limits = [
            measure_rate(url, path, status, seconds).rate for path, status in (("/", 200), ("/304", 304))
        ]
    full, full_cpu = measured(stack, 200, seconds)
    known, known_cpu = measured(stack, 304, seconds, f"If-None-Match: {headers['etag']}")
    name = f"response_cache.{server}"
    yield Figure(f"{name}.full.rate", full.rate, "req/s", "higher", limit=limits[0])
    yield Figure(f"{name}.304.rate", known.rate, "req/s", "higher", baseline=full.rate, limit=limits[1])
    yield Figure(f"{name}.304.over_full", known.rate / full.rate, "x", "higher", target=3)
    yield Figure(f"{name}.304.p99", known.p99_ms, "ms", "lower", baseline=full.p99_ms)
    yield Figure(f"{name}.304.cpu", known_cpu, "us/req", "lower", baseline=full_cpu)
    yield Figure(
        f"{name}.304.body",
        body_of_not_modified(stack, headers["etag"]),
        "bytes",
        "lower",
        target=0,
        baseline=int(headers["content-length"]),
    )


def measured(stack: Stack, status: int, seconds: float, *headers: str) -> tuple[LoadResult, float]:
    """The result, and the CPU time of the web process per request in microseconds."""
    before = cpu_by_process(stack)
    result = measure_rate(stack.url, POLLED, status, seconds, *headers)
    used = (cpu_by_process(stack) - before)["web"]
    # Includes the warm-up: a sixth of the time and of the requests.
    return result, used * 1e6 / (len(result.latencies) * 6 / 5)


def measure_rate(url: str, path: str, status: int, seconds: float, *headers: str) -> LoadResult:
    requests = [closed_loop.http_get(path, *headers)] * CONNECTIONS
    return closed_loop.drive(address_of(url), requests, closed_loop.http_response(status), seconds=seconds)


def body_of_not_modified(stack: Stack, tag: str) -> int:
    """The number of bytes after the headers of a 304, until the connection is closed."""
    request = closed_loop.http_get(POLLED, "Connection: close", f"If-None-Match: {tag}")
    with socket.create_connection(address_of(stack.url), 10) as connection:
        connection.sendall(request)
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    return len(response.partition(b"\r\n\r\n")[2])
