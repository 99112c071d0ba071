"""GET of audio that is in Redis, 100 KB on 32 connections, and of audio that the listener has (304)."""

import secrets
from collections.abc import Iterator, Sequence

from audiocache import blob
from benchmarks import closed_loop
from benchmarks.closed_loop import Driven
from benchmarks.listeners import address_of
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import beside, launched_stack
from tests.stack import Stack

CONNECTIONS = 32
BYTES = 100_000
SERVERS = ("daphne", "uvicorn")


@benchmark("audio_get")
def audio_get(size: Size) -> Iterator[Figure]:
    seconds = size.pick(3.0, 20.0)
    with beside("benchmarks.stub", "http", str(BYTES)) as url:
        generator = ask(url, same("/"), 200, seconds)
    yield Figure("audio_get.generator_alone", generator.rate, "req/s", "higher")
    bare = {server: measure_bare(server, seconds) for server in SERVERS}
    with launched_stack() as stack:
        from benchmarks.making import make_accounts

        key = f"Authorization: Bearer {make_accounts(1)[0].token}"
        hashes = put_audio(stack)
        hot = [closed_loop.http_get(path(name), key) for name in hashes]
        known = [closed_loop.http_get(path(name), key, f'If-None-Match: "{name}"') for name in hashes]
        for server in SERVERS:
            stack.start_web(server)
            yield from figures(f"{server}.hot", ask(stack.url, hot, 200, seconds), bare[server][0])
            yield from figures(f"{server}.known", ask(stack.url, known, 304, seconds), bare[server][1])
            stack.stop("web")


def measure_bare(server: str, seconds: float) -> tuple[Driven, Driven]:
    with beside("benchmarks.bare_asgi", server, str(BYTES)) as url:
        return ask(url, same("/"), 200, seconds), ask(url, same("/304"), 304, seconds)


def figures(name: str, ours: Driven, bare: Driven) -> Iterator[Figure]:
    yield Figure(f"audio_get.{name}.rate", ours.rate, "req/s", "higher", limit=bare.rate)
    yield Figure(f"audio_get.{name}.p99", ours.p99_ms, "ms", "lower", limit=bare.p99_ms)


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
