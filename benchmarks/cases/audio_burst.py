"""A burst of 40 results, from submission to the last notification, with an empty and a full audio file."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from statistics import median
from typing import Any

from benchmarks.audio_files import BYTES, PutFactory, fill
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack, wait_for_quiet
from tests.stack import Stack
from tests.waiting import wait_until

RESULTS = 40
MODEL = "tone"


@benchmark("audio_burst")
def audio_burst(size: Size) -> Iterator[Figure]:
    entries, rounds = size.pick(5000, 50_000), size.pick(10, 30)
    with launched_stack(AUDIO_LIMIT_MB=str(entries * BYTES // 1024 // 1024 + 1)) as stack:
        stack.start("results", "run_results")
        empty = measure(stack, rounds)
        fill_file(entries)
        full = measure(stack, rounds)
    yield Figure(f"audio_burst.{entries}.finalize", full * 1000, "ms", "lower", baseline=empty * 1000)


def fill_file(entries: int) -> None:
    from django.conf import settings

    from audiocache.sqlite import SqliteStore

    options = settings.AUDIO_STORES[settings.AUDIO_ALIAS]["options"]
    # An hour ago, since recently used entries are not evicted.
    hour_ago = time.time() - 3600
    with closing(SqliteStore(**options, clock=lambda: hour_ago)) as store:
        store.open_writer()
        fill(store, PutFactory(), entries)


def measure(stack: Stack, rounds: int) -> float:
    stack.start("persister", "run_persister")
    bursts = []
    for _ in range(rounds + 1):
        bursts.append(burst(stack))
        wait_for_quiet(stack)
    stack.stop("persister")
    return median(bursts[1:])


def burst(stack: Stack) -> float:
    """Seconds; one client submits them as fast as it can."""
    from config.redis.scripts import run
    from yapit import jobs

    factory = PutFactory()
    with stack.redis as redis:
        requests = [jobs.EnqueueRequest(new_spec(), billable=False) for _ in range(RESULTS)]
        run(redis, jobs.enqueue_call(1, requests, {}))
        claimed = [jobs.claim(redis, MODEL, "benchmark") for _ in range(RESULTS)]
        ids = [one.id for one in claimed if one]
        begun = time.perf_counter()
        for job_id in ids:
            jobs.submit_audio(redis, job_id, "benchmark", factory.header + factory.audio, 20_000)
        wait_until(lambda: not redis.exists(*(f"job:{job_id}" for job_id in ids)), 60)
        taken = time.perf_counter() - begun
        redis.delete("billing")  # run_billing is not running
    if len(ids) != RESULTS:
        raise RuntimeError(f"{len(ids)} of {RESULTS} jobs could be claimed")
    return taken


def new_spec() -> Any:
    from yapit.synthesis.speech_job import SpeechSpec

    return SpeechSpec(
        hash=secrets.token_hex(32),
        text="A result.",
        model=MODEL,
        voice="instant",
        params="{}",
        revision="1",
        codec="opus",
        chars=9,
        cost=9,
        multiplier_bp=10_000,
        usage_type="standard",
    ).job
