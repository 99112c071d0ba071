"""Worker: claims jobs of one model, synthesizes them with its engine, submits the results. Redis only."""

import logging
import os
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from redis import Redis
from redis import exceptions as redis_errors

from audiocache import blob
from config.observability import metrics
from config.observability.logging import bound
from config.redis.pipeline import Pipeline
from config.redis.transient import is_transient
from config.streams import StopFlag
from yapit.engines import Engine, EngineError, Speech
from yapit.jobs import protocol as jobs
from yapit.jobs.protocol import Claimed, JobResult, SubmitOutcome

logger = logging.getLogger(__name__)

STOP_GRACE = 3.0  # seconds for the current job after SIGTERM; the process has five to end
SUBMIT_SECONDS = 120.0  # for which Redis may be unavailable before a finished result is dropped
EXIT_HUNG = 70
OGG = b"OggS"

JOBS = metrics.counter("worker_jobs", "Jobs by outcome", ["model", "outcome"])
SECONDS = metrics.histogram("worker_seconds", "Time from claim to submission", ["model"])
OUTCOMES = {"c": "audio", "s": "nothing", "e": "error"}


class AttemptFailed(Exception):
    """This attempt failed; another one may succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Worker:
    """`name` is unique among all workers: it owns leases."""

    model: str
    engine: Engine
    name: str
    redis: Redis
    blocking: Redis
    stop: StopFlag = field(default_factory=StopFlag)

    def __post_init__(self) -> None:
        self.lease = Lease(self)
        self.pipeline = Pipeline.to(self.redis)

    def run(self) -> None:
        """Run until stopped. Transient Redis errors are waited out."""
        threading.Thread(target=self.lease.keep, name="lease", daemon=True).start()
        try:
            self._work()
        finally:
            self.lease.is_over = True
            self.pipeline.close()

    def _work(self) -> None:
        delay = 0.0
        while not self.stop.is_set:
            try:
                job = jobs.claim(self.redis, self.model, self.name)
                while job:
                    job = self._process(job, claim_from=self.model)
                jobs.wait_for_work(self.blocking, self.model, seconds=1)
                delay = 0.0
            except redis_errors.RedisError as error:
                if not is_transient(error):
                    raise
                delay = min(5.0, delay * 2 or 0.1)
                logger.warning("Redis: %s; trying again in %.1f s", type(error).__name__, delay)
                self.stop.sleep(delay)

    def run_once(self) -> bool:
        """Process one job. Returns whether there was one."""
        job = jobs.claim(self.redis, self.model, self.name)
        if job:
            self._process(job)
        return job is not None

    def _process(self, job: Claimed, claim_from: str = "") -> Claimed | None:
        """Process a job, and claim the next one with the submission. None: no job is queued."""
        begun = time.monotonic()
        self.lease.begin(job)
        try:
            with bound(job_id=job.id):
                outcome, next_job = self._synthesize_and_submit(job, claim_from)
        finally:
            self.lease.end()
        JOBS.labels(self.model, outcome).inc()
        SECONDS.labels(self.model).observe(time.monotonic() - begun)
        return next_job

    def _synthesize_and_submit(self, job: Claimed, claim_from: str) -> tuple[str, Claimed | None]:
        try:
            result = self._synthesize(job)
        except AttemptFailed as failed:
            jobs.fail_attempt(self.redis, job.id, self.name, failed.reason)
            more = claim_from and not self.stop.is_set
            return "failed", jobs.claim(self.redis, claim_from, self.name) if more else None
        self.lease.synthesized()
        return OUTCOMES[result.outcome], self._submit(job, result, claim_from).next

    def _synthesize(self, job: Claimed) -> JobResult:
        if job.revision != self.engine.revision:
            # The hash stands for another revision's audio. Another worker may have that revision.
            raise AttemptFailed("revision_mismatch")
        try:
            speech = self.engine.synthesize(job.text, voice=job.voice, parameters=job.params)
        except EngineError as error:
            return JobResult("e", error.code)
        except Exception as error:
            # Engines are third-party code: an exception ends this attempt, and the worker continues. Its
            # message may quote the text, so only the traceback is logged.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("The engine raised %s on attempt %d\n%s", type(error).__name__, job.attempt, where)
            raise AttemptFailed("engine_failed") from None
        return result_of(speech)

    def _submit(self, job: Claimed, result: JobResult, claim_from: str) -> SubmitOutcome:
        """Submit until Redis accepts it: a restart of Redis must not cost a finished result."""
        deadline = time.monotonic() + SUBMIT_SECONDS
        while True:
            try:
                more = "" if self.stop.is_set else claim_from
                submitted = jobs.submit(self.pipeline, job.id, self.name, result, more)
                if submitted.status != "LOST":
                    return submitted
                logger.warning("Redis had no room for %d bytes of audio", len(result.blob))
            except redis_errors.RedisError as error:
                if not is_transient(error) or self.stop.is_set or time.monotonic() > deadline:
                    raise
            self.stop.sleep(0.2)


class Lease:
    """Renews the lease of the current job while the engine works, in one thread for the life of the worker.

    An engine that hangs cannot be interrupted: past the deadline the process ends, and its supervisor
    starts another. After SIGTERM the current job has STOP_GRACE; then it is released.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.is_over = False
        self._clock = RunningTime()
        self._current: CurrentJob | None = None  # replaced as a whole: the other thread sees old or new

    def begin(self, job: Claimed) -> None:
        self._current = CurrentJob(job, self._clock(), time.monotonic())

    def synthesized(self) -> None:
        """The engine has returned: the deadline, which is the engine's, no longer applies."""
        if self._current:
            self._current.is_synthesized = True

    def end(self) -> None:
        self._current = None

    def keep(self) -> None:
        stop_at: float | None = None
        while not self.is_over:
            self._clock.tick(0.1)
            now = time.monotonic()
            if self.worker.stop.is_set:
                stop_at = stop_at or now + STOP_GRACE
            if current := self._current:
                self._maintain(current, now, stop_at)

    def _maintain(self, current: "CurrentJob", now: float, stop_at: float | None) -> None:
        if not current.is_synthesized and self._clock() >= current.since + current.job.deadline:
            self._end_process(current.job)
        if stop_at is not None and now >= stop_at:
            self._release_and_end(current.job)
        if now >= current.renewed + settings.RENEW_SECONDS:
            current.renewed = now
            self._renew(current.job)

    def _renew(self, job: Claimed) -> None:
        try:
            jobs.renew(self.worker.redis, job.id, self.worker.name)
        except redis_errors.RedisError as error:
            if not is_transient(error):
                raise
            logger.warning("The lease could not be renewed: %s", type(error).__name__)

    def _end_process(self, job: Claimed) -> None:
        logger.error("Job %s is past its deadline of %.1f s: ending this worker", job.id, job.deadline)
        self._release(job, counted=True)
        os._exit(EXIT_HUNG)

    def _release_and_end(self, job: Claimed) -> None:
        self._release(job, counted=False)
        os._exit(0)

    def _release(self, job: Claimed, *, counted: bool) -> None:
        """Release the job before the process ends. When Redis fails, its lease expires."""
        try:
            if counted:
                jobs.fail_attempt(self.worker.redis, job.id, self.worker.name, "engine_hung")
            else:
                jobs.release(self.worker.redis, job.id, self.worker.name)
        except redis_errors.RedisError as error:
            logger.warning("The job could not be released: %s", type(error).__name__)


@dataclass(slots=True)
class CurrentJob:
    """The job being processed. `since` is in running time, `renewed` in monotonic time."""

    job: Claimed
    since: float
    renewed: float
    is_synthesized: bool = False


class RunningTime:
    """A clock that excludes the time for which the process was stopped, which is not the engine's."""

    LONGEST_TICK = 1.0

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._time, self._sleep = clock, sleep
        self._stopped = 0.0

    def __call__(self) -> float:
        return self._time() - self._stopped

    def tick(self, seconds: float) -> None:
        """Sleep. Waking up much too late means that the process was stopped meanwhile."""
        begun = self._time()
        self._sleep(seconds)
        self._stopped += max(0.0, self._time() - begun - self.LONGEST_TICK)


def result_of(speech: Speech) -> JobResult:
    """The result to submit for an engine's output, which is checked."""
    if not speech.audio:
        return JobResult("s")
    if not speech.audio.startswith(OGG):
        return JobResult("e", "bad_audio")
    if len(speech.audio) > settings.MAX_AUDIO_BYTES:
        return JobResult("e", "audio_too_large")
    header = blob.header_for(
        speech.audio,
        duration_ms=speech.duration_ms,
        media_type=speech.media_type,
        words=[(word.text, word.start_ms, word.end_ms) for word in speech.words],
    )
    return JobResult("c", duration_ms=speech.duration_ms, blob=blob.pack(header, speech.audio))
