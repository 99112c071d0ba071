"""One worker: claims jobs of one model, speaks them with its engine, hands in what it made. Redis only."""

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

STOP_GRACE = 3.0  # seconds for the job in hand after SIGTERM; a process has five to end
HAND_IN_SECONDS = 120.0  # for which Redis may be away before finished work is given up
EXIT_HUNG = 70
OGG = b"OggS"

SPOKEN = metrics.counter("worker_jobs", "Jobs by how they ended here", ["model", "outcome"])
SECONDS = metrics.histogram("worker_seconds", "From claim to hand-in", ["model"])
OUTCOMES = {"c": "audio", "s": "nothing", "e": "error"}


class AttemptFailed(Exception):
    """This attempt came to nothing; another one may not."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Worker:
    """`name` is unique among all that run: it owns leases."""

    model: str
    engine: Engine
    name: str
    redis: Redis
    blocking: Redis
    stop: StopFlag = field(default_factory=StopFlag)

    def __post_init__(self) -> None:
        self.lease = Lease(self)
        self.wire = Pipeline.to(self.redis)

    def run(self) -> None:
        """Until stopped. Redis being away is waited out."""
        threading.Thread(target=self.lease.keep, name="lease", daemon=True).start()
        try:
            self._work()
        finally:
            self.lease.is_over = True
            self.wire.close()

    def _work(self) -> None:
        delay = 0.0
        while not self.stop.is_set:
            try:
                job = jobs.claim(self.redis, self.model, self.name)
                while job:
                    job = self._take(job, claim_from=self.model)
                jobs.wait_for_work(self.blocking, self.model, seconds=1)
                delay = 0.0
            except redis_errors.RedisError as error:
                if not is_transient(error):
                    raise
                delay = min(5.0, delay * 2 or 0.1)
                logger.warning("Redis: %s; trying again in %.1f s", type(error).__name__, delay)
                self.stop.sleep(delay)

    def run_once(self) -> bool:
        """Take one job to its end. Return whether there was one."""
        job = jobs.claim(self.redis, self.model, self.name)
        if job:
            self._take(job)
        return job is not None

    def _take(self, job: Claimed, claim_from: str = "") -> Claimed | None:
        """Take a job to its end, and the next one with the same message. None: no more for now."""
        begun = time.monotonic()
        self.lease.begin(job)
        try:
            with bound(job_id=job.id):
                outcome, following = self._speak_and_hand_in(job, claim_from)
        finally:
            self.lease.end()
        SPOKEN.labels(self.model, outcome).inc()
        SECONDS.labels(self.model).observe(time.monotonic() - begun)
        return following

    def _speak_and_hand_in(self, job: Claimed, claim_from: str) -> tuple[str, Claimed | None]:
        try:
            made = self._speak(job)
        except AttemptFailed as failed:
            jobs.fail_attempt(self.redis, job.id, self.name, failed.reason)
            more = claim_from and not self.stop.is_set
            return "failed", jobs.claim(self.redis, claim_from, self.name) if more else None
        self.lease.spoken()
        return OUTCOMES[made.outcome], self._hand_in(job, made, claim_from).next

    def _speak(self, job: Claimed) -> JobResult:
        if job.revision != self.engine.revision:
            # The hash promises another engine's sound. Another worker may still be that engine.
            raise AttemptFailed("revision_mismatch")
        try:
            speech = self.engine.synthesize(job.text, voice=job.voice, parameters=job.params)
        except EngineError as error:
            return JobResult("e", error.code)
        except Exception as error:
            # Engines are other people's code: what they raise ends this attempt, and the worker goes on.
            # Its message may quote what was to be spoken.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("The engine raised %s on attempt %d\n%s", type(error).__name__, job.attempt, where)
            raise AttemptFailed("engine_failed") from None
        return made_of(speech)

    def _hand_in(self, job: Claimed, made: JobResult, claim_from: str) -> SubmitOutcome:
        """Submit until Redis has it: the work is done and must not be lost to a restart of Redis."""
        deadline = time.monotonic() + HAND_IN_SECONDS
        while True:
            try:
                more = "" if self.stop.is_set else claim_from
                handed_in = jobs.submit(self.wire, job.id, self.name, made, more)
                if handed_in.status != "LOST":
                    return handed_in
                logger.warning("Redis had no room for %d bytes of audio", len(made.blob))
            except redis_errors.RedisError as error:
                if not is_transient(error) or self.stop.is_set or time.monotonic() > deadline:
                    raise
            self.stop.sleep(0.2)


class Lease:
    """Keeps the job in hand ours while the engine works, in one thread for the life of the worker.

    An engine that hangs cannot be interrupted: past the deadline the process ends, and its
    supervisor starts another. Told to stop, the job in hand has STOP_GRACE; then it is given back.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.is_over = False
        self._clock = RunningTime()
        self._held: Held | None = None  # replaced as a whole: the other thread sees one or the other

    def begin(self, job: Claimed) -> None:
        self._held = Held(job, self._clock(), time.monotonic())

    def spoken(self) -> None:
        """From now on the engine cannot hang: the deadline was its."""
        if self._held:
            self._held.is_spoken = True

    def end(self) -> None:
        self._held = None

    def keep(self) -> None:
        stop_at: float | None = None
        while not self.is_over:
            self._clock.tick(0.1)
            now = time.monotonic()
            if self.worker.stop.is_set:
                stop_at = stop_at or now + STOP_GRACE
            if held := self._held:
                self._look_after(held, now, stop_at)

    def _look_after(self, held: "Held", now: float, stop_at: float | None) -> None:
        if not held.is_spoken and self._clock() >= held.since + held.job.deadline:
            self._end_process(held.job)
        if stop_at is not None and now >= stop_at:
            self._give_back(held.job)
        if now >= held.renewed + settings.RENEW_SECONDS:
            held.renewed = now
            self._renew(held.job)

    def _renew(self, job: Claimed) -> None:
        try:
            jobs.renew(self.worker.redis, job.id, self.worker.name)
        except redis_errors.RedisError as error:
            if not is_transient(error):
                raise
            logger.warning("The lease could not be renewed: %s", type(error).__name__)

    def _end_process(self, job: Claimed) -> None:
        logger.error("Job %s is past its deadline of %.1f s: ending this worker", job.id, job.deadline)
        self._last_words(job, counted=True)
        os._exit(EXIT_HUNG)

    def _give_back(self, job: Claimed) -> None:
        self._last_words(job, counted=False)
        os._exit(0)

    def _last_words(self, job: Claimed, *, counted: bool) -> None:
        """If Redis does not hear them, the lease runs out."""
        try:
            if counted:
                jobs.fail_attempt(self.worker.redis, job.id, self.worker.name, "engine_hung")
            else:
                jobs.release(self.worker.redis, job.id, self.worker.name)
        except redis_errors.RedisError as error:
            logger.warning("The job could not be given back: %s", type(error).__name__)


@dataclass(slots=True)
class Held:
    """A job in hand, since when by the time that we ran, and when its lease was last renewed."""

    job: Claimed
    since: float
    renewed: float
    is_spoken: bool = False


class RunningTime:
    """Seconds that leave out those for which the process was stopped: no engine can be blamed for them."""

    LONGEST_TICK = 1.0

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._time, self._sleep = clock, sleep
        self._stopped = 0.0

    def __call__(self) -> float:
        return self._time() - self._stopped

    def tick(self, seconds: float) -> None:
        """Sleep; one who wakes up much too late was stopped meanwhile."""
        begun = self._time()
        self._sleep(seconds)
        self._stopped += max(0.0, self._time() - begun - self.LONGEST_TICK)


def made_of(speech: Speech) -> JobResult:
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
