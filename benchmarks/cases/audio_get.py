"""Audio over HTTP: GET of 100 KB on 32 connections, from Redis, from SQLite, and as 304."""

import secrets
from collections.abc import Iterator, Sequence

from audiocache import blob
from benchmarks import closed_loop
from benchmarks.closed_loop import LoadResult, address_of
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import cpu_by_process, launched_stack, running_server
from tests.stack import Stack

CONNECTIONS = 32
BYTES = 100_000
SERVERS = ("daphne", "uvicorn")
RATES = {"daphne.hot": 2500, "daphne.cold": 1500, "uvicorn.hot": 5000, "uvicorn.cold": 2500}
SLOWEST_MS = {"daphne": 40, "uvicorn": 20}


@benchmark("audio_get")
def audio_get(size: Size) -> Iterator[Figure]:
    seconds = size.pick(3.0, 20.0)
    with running_server("benchmarks.stub_server", "http", str(BYTES)) as url:
        generator = get(url, same("/"), 200, seconds)
    yield Figure("audio_get.generator_alone", generator.rate, "req/s", "higher")
    bare = {server: measure_bare(server, seconds) for server in SERVERS}
    with launched_stack() as stack:
        from benchmarks.factories import make_accounts

        key = f"Authorization: Bearer {make_accounts(1)[0].token}"
        hot, cold = put_audio(stack), store_audio()
        known = [closed_loop.http_get(path(name), key, f'If-None-Match: "{name}"') for name in hot]
        for server in SERVERS:
            whole, empty = bare[server]
            stack.start_web(server)
            for kind, hashes in (("hot", hot), ("cold", cold)):
                requests = [closed_loop.http_get(path(name), key) for name in hashes]
                yield from figures(stack, f"{server}.{kind}", requests, 200, seconds, whole)
            yield from figures(stack, f"{server}.known", known, 304, seconds, empty)
            stack.stop("web")


def measure_bare(server: str, seconds: float) -> tuple[LoadResult, LoadResult]:
    with running_server("benchmarks.bare_asgi", server, str(BYTES)) as url:
        return get(url, same("/"), 200, seconds), get(url, same("/304"), 304, seconds)


def figures(
    stack: Stack, name: str, requests: Sequence[bytes], status: int, seconds: float, bare: LoadResult
) -> Iterator[Figure]:
    before = cpu_by_process(stack)
    result = get(stack.url, requests, status, seconds)
    used = cpu_by_process(stack) - before
    slowest = SLOWEST_MS[name.split(".")[0]] if name in RATES else None
    rate, p99 = f"audio_get.{name}.rate", f"audio_get.{name}.p99"
    yield Figure(rate, result.rate, "req/s", "higher", target=RATES.get(name), limit=bare.rate)
    yield Figure(p99, result.p99_ms, "ms", "lower", target=slowest, limit=bare.p99_ms)
    for process in used.keys() & {"web", "valkey"}:
        # Both include the warm-up: a sixth of the time and of the requests.
        per_request = used[process] * 1e6 / (len(result.latencies) * 6 / 5)
        yield Figure(f"audio_get.{name}.cpu.{process}", per_request, "us/req", "lower")


def get(url: str, requests: Sequence[bytes], status: int, seconds: float) -> LoadResult:
    return closed_loop.drive(address_of(url), requests, closed_loop.http_response(status), seconds=seconds)


def same(path: str) -> list[bytes]:
    return [closed_loop.http_get(path)] * CONNECTIONS


def path(name: str) -> str:
    return f"/v1/audio/{name}"


def put_audio(stack: Stack) -> list[str]:
    """Store one value for each connection in Redis, as FINALIZE does. Returns their hashes."""
    hashes = [secrets.token_hex(32) for _ in range(CONNECTIONS)]
    with stack.redis as redis:
        for name in hashes:
            audio = secrets.token_bytes(BYTES)
            header = blob.header_for(audio, duration_ms=20_000, media_type="audio/ogg")
            redis.set(f"audio:{name}", blob.pack(header, audio))
    return hashes


def store_audio() -> list[str]:
    """Store one value for each connection in SQLite only. Returns their hashes."""
    from audiocache import aliases
    from audiocache.records import Put
    from audiocache.store import store_for

    store = store_for(aliases.AUDIO)
    store.open_writer()
    puts = []
    for _ in range(CONNECTIONS):
        audio = secrets.token_bytes(BYTES)
        header = blob.header_for(audio, duration_ms=20_000, media_type="audio/ogg")
        puts.append(Put(secrets.token_bytes(32), blob.header_bytes(header), audio, header.sha256))
    store.write_batch(puts, [])
    store.close()
    return [put.key.hex() for put in puts]
