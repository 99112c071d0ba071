"""One worker: claims jobs of one model, speaks them with its engine, hands in what it made. Redis only."""

import logging
import os
import threading
import time
import traceback
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType

from django.conf import settings
from redis import Redis
from redis import exceptions as redis_errors

from audiocache import blob
from config import metrics
from config.logging import bound
from config.streams import StopFlag
from yapit import jobs
from yapit.engines import Engine, EngineError, Speech

logger = logging.getLogger(__name__)

STOP_GRACE = 3.0  # seconds for the job in hand after SIGTERM; a process has five to end
EXIT_HUNG = 70
OGG = b"OggS"
REDIS_TROUBLE = (redis_errors.ConnectionError, redis_errors.TimeoutError, redis_errors.OutOfMemoryError)

SPOKEN = metrics.counter("worker_jobs", "Jobs by how they ended here", ["model", "outcome"])
SECONDS = metrics.histogram("worker_seconds", "From claim to hand-in", ["model"])


@dataclass
class Worker:
    """`name` is unique among all that run: it owns leases."""

    model: str
    engine: Engine
    name: str
    redis: Redis
    blocking: Redis
    stop: StopFlag = field(default_factory=StopFlag)

    def run(self) -> None:
        """Until stopped. Redis being away is waited out."""
        delay = 0.0
        while not self.stop.is_set:
            try:
                if not self.run_once():
                    jobs.wait_for_work(self.blocking, self.model, seconds=1)
                delay = 0.0
            except REDIS_TROUBLE as error:
                delay = min(5.0, delay * 2 or 0.1)
                logger.warning("Redis: %s; trying again in %.1f s", type(error).__name__, delay)
                self.stop.sleep(delay)

    def run_once(self) -> bool:
        """Take one job to its end. Return whether there was one."""
        job = jobs.claim(self.redis, self.model, self.name)
        if job is None:
            return False
        with bound(job_id=job.id), SECONDS.labels(self.model).time():
            with Lease(self, job):
                outcome = self._speak(job)
            SPOKEN.labels(self.model, outcome).inc()
        return True

    def _speak(self, job: jobs.Claimed) -> str:
        if job.revision != self.engine.revision:
            # The hash promises another engine's sound. Another worker may still be that engine.
            return self._fail_attempt(job, "revision_mismatch")
        try:
            speech = self.engine.synthesize(job.text, voice=job.voice, parameters=job.params)
        except EngineError as error:
            return self._hand_in(job, error.code)
        except Exception as error:
            # Engines are other people's code: what they raise ends this attempt, and the worker goes on.
            # Its message may quote what was to be spoken.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("The engine raised %s on attempt %d\n%s", type(error).__name__, job.attempt, where)
            return self._fail_attempt(job, "engine_failed")
        if speech.audio and not speech.audio.startswith(OGG):
            return self._hand_in(job, "bad_audio")
        return self._hand_in(job, speech)

    def _hand_in(self, job: jobs.Claimed, made: Speech | str) -> str:
        """Submit until Redis has it: the work is done and must not be lost to a restart of Redis."""
        deadline = time.monotonic() + 120
        while True:
            try:
                return self._submit(job, made)
            except REDIS_TROUBLE:
                if self.stop.is_set or time.monotonic() > deadline:
                    raise
                self.stop.sleep(0.2)

    def _submit(self, job: jobs.Claimed, made: Speech | str) -> str:
        if isinstance(made, str):
            jobs.submit_error(self.redis, job.id, self.name, made)
            return "error"
        if not made.audio:
            jobs.submit_nothing(self.redis, job.id, self.name)
            return "nothing"
        if len(made.audio) > settings.MAX_AUDIO_BYTES:
            jobs.submit_error(self.redis, job.id, self.name, "audio_too_large")
            return "error"
        jobs.submit_audio(self.redis, job.id, self.name, _packed(made), made.duration_ms)
        return "audio"

    def _fail_attempt(self, job: jobs.Claimed, reason: str) -> str:
        jobs.fail_attempt(self.redis, job.id, self.name, reason)
        return "failed"


class Lease(AbstractContextManager["Lease"]):
    """Keeps a claimed job ours while the engine works, in a thread of its own.

    An engine that hangs cannot be interrupted: past the deadline the process ends, and its
    supervisor starts another. Told to stop, the job in hand has STOP_GRACE; then it is given back.
    """

    def __init__(self, worker: Worker, job: jobs.Claimed) -> None:
        self.worker = worker
        self.job = job
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        deadline = time.monotonic() + self.job.deadline
        renew_at = time.monotonic() + settings.RENEW_SECONDS
        stop_at: float | None = None
        while not self._done.wait(0.1):
            now = time.monotonic()
            if now >= deadline:
                self._end_process()
            if self.worker.stop.is_set:
                stop_at = stop_at or now + STOP_GRACE
                if now >= stop_at:
                    self._give_back()
            if now >= renew_at:
                renew_at = now + settings.RENEW_SECONDS
                self._renew()

    def _renew(self) -> None:
        try:
            jobs.renew(self.worker.redis, self.job.id, self.worker.name)
        except REDIS_TROUBLE as error:
            logger.warning("The lease could not be renewed: %s", type(error).__name__)

    def _end_process(self) -> None:
        logger.error(
            "Job %s is past its deadline of %.1f s: ending this worker", self.job.id, self.job.deadline
        )
        self._last_words(counted=True)
        os._exit(EXIT_HUNG)

    def _give_back(self) -> None:
        self._last_words(counted=False)
        os._exit(0)

    def _last_words(self, *, counted: bool) -> None:
        """If Redis does not hear them, the lease runs out."""
        try:
            if counted:
                jobs.fail_attempt(self.worker.redis, self.job.id, self.worker.name, "engine_hung")
            else:
                jobs.release(self.worker.redis, self.job.id, self.worker.name)
        except redis_errors.RedisError as error:
            logger.warning("The job could not be given back: %s", type(error).__name__)


def _packed(speech: Speech) -> bytes:
    header = blob.header_for(
        speech.audio,
        duration_ms=speech.duration_ms,
        media_type=speech.media_type,
        words=[(word.text, word.start_ms, word.end_ms) for word in speech.words],
    )
    return blob.pack(header, speech.audio)
