"""The hot path's end: what workers hand in becomes audio that listeners are told of. Redis only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from redis import exceptions as redis_errors

from config.observability import metrics
from config.redis.pipeline import Pipeline
from config.redis.scripts import run_all
from config.redis.transient import is_transient
from config.streams.consumer import Entry, Fields, StreamConsumer, UnreadableEntry
from yapit.jobs.lua import text
from yapit.jobs.protocol import FINALIZE

FINALIZED = metrics.counter("jobs_finalized", "Results by what became of them", ["outcome"])


@dataclass(frozen=True, slots=True)
class Result:
    job_id: str
    outcome: str
    detail: str


class ResultConsumer(StreamConsumer[Result]):
    """Runs FINALIZE for each result. Any number may run; a result handled twice is handled once."""

    streams = ("results",)
    group = "results"
    batch_size = 64
    pause = settings.RESULTS_PAUSE_SECONDS
    follow_up = text("unfinished")  # of a result that is buried; the others' is FINALIZE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.wire = Pipeline.to(self.redis)

    def parse(self, stream: str, fields: Fields) -> Result:
        try:
            return Result(*(fields[name].decode() for name in (b"id", b"outcome", b"detail")))
        except (KeyError, UnicodeDecodeError) as error:
            raise UnreadableEntry(f"not a result: {type(error).__name__}") from None

    def handle(self, events: Sequence[Result]) -> None:
        """Nothing to do here: FINALIZE works and lets go in one step."""

    def settle_args(self, event: Result) -> Sequence[str | bytes | int]:
        return (event.job_id, settings.MAX_ATTEMPTS)

    def settle(self, entries: Sequence[Entry[Result]]) -> None:
        calls = [
            FINALIZE.call(
                self.group,
                entry.id,
                entry.event.job_id,
                entry.event.outcome,
                entry.event.detail,
                keys=[entry.stream],
            )
            for entry in entries
        ]
        for entry, answer in zip(entries, run_all(self.wire, calls), strict=True):
            if not isinstance(answer, redis_errors.RedisError):
                FINALIZED.labels(answer.decode()).inc()
            elif is_transient(answer):
                raise answer
            else:  # the script's own: the same again next time
                self._bury(entry.stream, entry.id, entry.fields, str(answer), self.settle_args(entry.event))
