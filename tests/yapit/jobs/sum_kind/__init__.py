"""A second kind of job, in this folder alone: adds numbers. Its cost is known once they are added."""

from hashlib import sha256

import msgspec
from django.core.management.base import CommandError

from audiocache import blob
from yapit.jobs import AttemptFailed, JobResult, JobSpec

KIND, QUEUE = "sum", "sums"
BOUND = 100  # the most that a job may cost

# The settings that this kind needs.
JOB_HANDLERS = {KIND: f"{__name__}.SumHandler"}


def sum_spec(*numbers: int) -> JobSpec:
    key = sha256(repr(numbers).encode()).hexdigest()
    return JobSpec(
        kind=KIND,
        queue=QUEUE,
        key=key,
        payload=msgspec.msgpack.encode(numbers) + b"\xff",  # binary
        usage_type="premium",
        units=len(numbers),
        cost=BOUND,
        store="extractions",
        fields=("hash", key, "model", QUEUE, "voice", "none", "multiplier_bp", 10_000),
    )


class SumHandler:
    concurrency = 2
    failed, hung = "sum_failed", "sum_hung"

    def __init__(self, queue: str) -> None:
        if queue != QUEUE:
            raise CommandError(f"There is no queue {queue!r} of sums.")

    def warm(self) -> None:
        pass

    def deadline(self, job) -> float:
        return 10.0

    def handle(self, job) -> JobResult:
        numbers = msgspec.msgpack.decode(job.spec.payload[:-1])
        if not numbers:
            return JobResult.nothing()
        if -1 in numbers:
            return JobResult.error("negative")
        if -2 in numbers:
            raise AttemptFailed("not_now")
        cost = sum(numbers)
        data = str(cost).encode()
        header = blob.header_for(data, duration_ms=0, media_type="text/plain")
        return JobResult.stored(blob.pack(header, data), cost=cost, chars=cost, duration_ms=0)
