"""GET of 100 KB on 32 connections: of audio that is in Redis, of audio that only SQLite has, and of audio
that the listener has (304).
"""

import secrets
from collections.abc import Iterator, Sequence

from audiocache import blob
from benchmarks import closed_loop
from benchmarks.closed_loop import Driven, address_of
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import beside, cpu_by_process, launched_stack
from tests.stack import Stack

CONNECTIONS = 32
BYTES = 100_000
SERVERS = ("daphne", "uvicorn")
RATES = {"daphne.hot": 2500, "daphne.cold": 1500, "uvicorn.hot": 5000, "uvicorn.cold": 2500}
SLOWEST_MS = {"daphne": 40, "uvicorn": 20}


@benchmark("audio_get")
def audio_get(size: Size) -> Iterator[Figure]:
    seconds = size.pick(3.0, 20.0)
    with beside("benchmarks.stub_server", "http", str(BYTES)) as url:
        generator = ask(url, same("/"), 200, seconds)
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


def measure_bare(server: str, seconds: float) -> tuple[Driven, Driven]:
    with beside("benchmarks.bare_asgi", server, str(BYTES)) as url:
        return ask(url, same("/"), 200, seconds), ask(url, same("/304"), 304, seconds)


def figures(
    stack: Stack, name: str, requests: Sequence[bytes], status: int, seconds: float, bare: Driven
) -> Iterator[Figure]:
    before = cpu_by_process(stack)
    ours = ask(stack.url, requests, status, seconds)
    used = cpu_by_process(stack) - before
    slowest = SLOWEST_MS[name.split(".")[0]] if name in RATES else None
    rate, p99 = f"audio_get.{name}.rate", f"audio_get.{name}.p99"
    yield Figure(rate, ours.rate, "req/s", "higher", target=RATES.get(name), limit=bare.rate)
    yield Figure(p99, ours.p99_ms, "ms", "lower", target=slowest, limit=bare.p99_ms)
    for process in used.keys() & {"web", "valkey"}:
        # The warm-up is in both: a sixth of the time, and of the requests.
        per_request = used[process] * 1e6 / (len(ours.latencies) * 6 / 5)
        yield Figure(f"audio_get.{name}.cpu.{process}", per_request, "us/req", "lower")


def ask(url: str, requests: Sequence[bytes], status: int, seconds: float) -> Driven:
    return closed_loop.drive(address_of(url), requests, closed_loop.http_answer(status), seconds=seconds)


def same(where: str) -> list[bytes]:
    return [closed_loop.http_get(where)] * CONNECTIONS


def path(name: str) -> str:
    return f"/v1/audio/{name}"


def put_audio(stack: Stack) -> list[str]:
    """One value for each connection, as FINALIZE leaves them."""
    hashes = [secrets.token_hex(32) for _ in range(CONNECTIONS)]
    with stack.redis as redis:
        for name in hashes:
            audio = secrets.token_bytes(BYTES)
            header = blob.header_for(audio, duration_ms=20_000, media_type="audio/ogg")
            redis.set(f"audio:{name}", blob.pack(header, audio))
    return hashes


def store_audio() -> list[str]:
    """As many that only SQLite has."""
    from django.conf import settings

    from audiocache.records import Put
    from audiocache.sqlite import SqliteStore

    store = SqliteStore(settings.DATABASES["audio"]["NAME"], settings.AUDIO_LIMITS["audio"])
    store.open_writer()
    puts = []
    for _ in range(CONNECTIONS):
        audio = secrets.token_bytes(BYTES)
        header = blob.header_for(audio, duration_ms=20_000, media_type="audio/ogg")
        puts.append(Put(secrets.token_bytes(32), blob.header_bytes(header), audio, header.sha256))
    store.write_batch(puts, [])
    store.close()
    return [put.key.hex() for put in puts]
