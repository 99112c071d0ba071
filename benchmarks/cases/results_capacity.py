"""Capacity of one results consumer: 100 KB of audio each, five listeners waiting for each.

Runs in this process, on a Valkey with the settings of the stack and with a subscriber of the notifications.
The baseline does the same command by command.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import django

from benchmarks.awake import awake
from benchmarks.closed_loop import redis_command
from benchmarks.registry import Figure, Size, benchmark
from tests.stack import Stack

if TYPE_CHECKING:
    from redis import Redis

    from yapit.jobs.results import ResultHandler

BYTES = 100_000
LISTENERS = 5
TARGET = 8000.0
NAIVE_SHARE = 5  # the baseline, which is slower, gets a fifth of the results
WORDS = "of the usual length of a block, about two hundred characters, since the text is part of the job " * 2


@benchmark("results_capacity")
def results_capacity(size: Size) -> Iterator[Figure]:
    count, rounds = size.pick((1000, 3), (3000, 5))
    with awake(), only_redis() as redis:
        from tests.faults.naive import NaiveResults
        from yapit.jobs.results import ResultHandler

        with redis.pubsub() as subscriber:
            subscriber.subscribe("notify:web")
            drain(redis, ResultHandler(redis), count // 4)  # warm-up
            taken = [drain(redis, ResultHandler(redis), count) for _ in range(rounds)]
            naive = [drain(redis, NaiveResults(redis), count // NAIVE_SHARE) for _ in range(rounds)]
            limit = raw_writes(redis, count)
        rates = [1 / seconds for seconds, _ in taken]
        yield Figure(
            "results_capacity.rate",
            median(rates),
            "results/s",
            "higher",
            target=TARGET,
            baseline=median(1 / seconds for seconds, _ in naive),
            limit=limit,
        )
        cpu = median(seconds for _, seconds in taken) * 1000
        before = median(seconds for _, seconds in naive) * 1000
        yield Figure("results_capacity.cpu", cpu, "ms/result", "lower", baseline=before)


@contextlib.contextmanager
def only_redis() -> Iterator["Redis"]:
    """A Valkey with the settings of `make run`, and Django set up on it, without a database."""
    with contextlib.ExitStack() as ending:
        folder = Path(tempfile.mkdtemp(prefix="yapit-bench-"))
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        stack = Stack(folder, "postgres://nobody@127.0.0.1:9/none", LOG_LEVEL="WARNING")
        ending.callback(stack.close)
        stack.start_valkey()
        os.environ.update({name: value for name, value in stack.env.items() if name not in ("PATH", "HOME")})
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        django.setup()
        yield ending.enter_context(stack.redis)


def drain(redis: "Redis", handler: "ResultHandler", count: int) -> tuple[float, float]:
    """Seconds and CPU seconds of this process per result, for `count` results."""
    from config.streams import StreamConsumer

    submit_results(redis, count)
    consumer = StreamConsumer(handler, redis)
    cpu, begun = time.process_time(), time.perf_counter()
    while consumer.run_once(wait=False):
        pass
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    if redis.xlen("billing") != count:
        raise RuntimeError("not every result became audio")
    return seconds / count, cpu / count


def submit_results(redis: "Redis", count: int) -> None:
    """Jobs whose results have just been submitted."""
    from audiocache import blob
    from config.redis.scripts import run_all
    from tests.yapit.jobs.job_steps import claim, make_blob, make_spec
    from yapit import jobs

    redis.flushall()
    audio = make_blob(b"OggS" + secrets.token_bytes(BYTES), duration_ms=20_000)
    header, _ = blob.split(audio)
    for number in range(count):
        spec = make_spec(f"{number} {secrets.token_hex(8)} {WORDS}")
        run_all(redis, [_enqueue_call(spec, number, listener) for listener in range(LISTENERS)])
    while job := claim(redis):
        jobs.submit_audio(redis, job.id, "w", audio, header.duration_ms)


def _enqueue_call(spec, number: int, listener: int):
    from yapit import jobs

    document = f"00000000-0000-0000-0000-{number:012}"
    member = jobs.member(number % 50, document, number, f"web.{listener:08}")
    return jobs.enqueue_call(
        number % 50, [jobs.EnqueueRequest(spec.job, member=member, document=document)], {}
    )


def raw_writes(redis: "Redis", count: int) -> float:
    """The writes alone, precomputed: plain commands of 64 results in a message."""
    submit_results(redis, count)
    batch: list[bytes] = []
    wire = redis.connection
    assert wire is not None
    entries = redis.xrange("results")
    begun = time.perf_counter()
    for number, (entry, fields) in enumerate(entries):
        job = fields[b"id"]
        batch += [
            redis_command(b"RENAME", b"res:" + job, b"audio:%d" % number),
            redis_command(b"XADD", b"billing", b"*", b"entry", bytes(300)),
            redis_command(b"XADD", b"persist", b"*", b"entry", bytes(600)),
            redis_command(b"PUBLISH", b"notify:web", bytes(150)),
            redis_command(b"DEL", b"job:" + job),
            redis_command(b"XDEL", b"results", entry),
        ]
        if len(batch) == 64 * 6 or number + 1 == count:
            wire.send_packed_command(batch)
            for _ in batch:
                wire.read_response()
            batch = []
    return count / (time.perf_counter() - begun)
