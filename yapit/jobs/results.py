"""The results consumer: finalizes what workers submit, the last step of the hot path. Redis only."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from redis import Redis
from redis import exceptions as redis_errors

from config.observability import metrics
from config.redis.pipeline import Pipeline
from config.redis.scripts import run_all
from config.redis.transient import is_transient
from config.streams import Batch, BatchResult, Fields, Handler, UnreadableEntry
from yapit import redis_keys
from yapit.jobs.lua import text
from yapit.jobs.protocol import FINALIZE

FINALIZED = metrics.counter("jobs_finalized", "Results by outcome", ["outcome"])


@dataclass(frozen=True, slots=True)
class Result:
    job_id: str
    outcome: str
    detail: str


class ResultHandler(Handler[Result]):
    """Runs FINALIZE for each result. Any number may run; FINALIZE applies a redelivered result once."""

    streams = (redis_keys.RESULTS,)
    group = "results"
    batch_size = 64
    pause = settings.RESULTS_PAUSE_SECONDS
    refusals = ()  # the reply of FINALIZE names the refused entry
    on_acknowledge = text("unfinished")  # runs for dead letters only: FINALIZE acknowledges the others

    def __init__(self, redis: Redis) -> None:
        self._pipeline = Pipeline.to(redis)

    def parse(self, stream: str, fields: Fields) -> Result:
        try:
            return Result(*(fields[name].decode() for name in (b"id", b"outcome", b"detail")))
        except (KeyError, UnicodeDecodeError) as error:
            raise UnreadableEntry(f"not a result: {type(error).__name__}") from None

    def acknowledge_args(self, event: Result) -> Sequence[str | bytes | int]:
        return (event.job_id, settings.MAX_ATTEMPTS)

    def source(self, fields: Fields) -> bytes | None:
        return fields.get(b"worker")

    def handle(self, batch: Batch[Result]) -> BatchResult[Result]:
        """FINALIZE does the work of an entry and acknowledges it in one step, so none is reported as done."""
        calls = [
            FINALIZE.call(
                self.group,
                entry.id,
                entry.event.job_id,
                entry.event.outcome,
                entry.event.detail,
                keys=[entry.stream],
            )
            for entry in batch.entries
        ]
        refused = []
        for entry, answer in zip(batch.entries, run_all(self._pipeline, calls), strict=True):
            if not isinstance(answer, redis_errors.RedisError):
                FINALIZED.labels(answer.decode()).inc()
            elif is_transient(answer):
                raise answer
            else:  # an error of the script itself, which a retry would repeat
                refused.append((entry, str(answer)))
        return BatchResult(refused=refused)
