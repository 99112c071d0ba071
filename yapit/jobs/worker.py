"""Worker: claims jobs of one queue, has a handler do their work, submits the results. Redis only."""

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

from config.observability import metrics
from config.observability.logging import bound
from config.redis.pipeline import Pipeline
from config.redis.transient import is_transient
from config.streams import StopFlag
from yapit.jobs import protocol as jobs
from yapit.jobs.handler import AttemptFailed, JobHandler
from yapit.jobs.protocol import Claimed, JobResult, SubmitOutcome

logger = logging.getLogger(__name__)

STOP_GRACE = 3.0  # seconds for the current jobs after SIGTERM; the process has five to end
SUBMIT_SECONDS = 120.0  # for which Redis may be unavailable before a finished result is dropped
EXIT_HUNG = 70

JOBS = metrics.counter("worker_jobs", "Jobs by outcome", ["queue", "outcome"])
SECONDS = metrics.histogram("worker_seconds", "Time from claim to submission", ["queue"])
OUTCOMES = {"c": "stored", "s": "nothing", "e": "error"}


@dataclass
class Worker:
    """Serves one queue, whose jobs are of one kind. `name` is unique among all workers: it owns leases."""

    queue: str
    kind: str
    handler: JobHandler
    name: str
    redis: Redis
    blocking: Redis
    stop: StopFlag = field(default_factory=StopFlag)

    def __post_init__(self) -> None:
        self.leases = Leases(self)
        self.pipeline = Pipeline.to(self.redis)
        self.failure: BaseException | None = None  # of a thread; ends the worker

    def run(self) -> None:
        """Run until stopped. Transient Redis errors are waited out."""
        threading.Thread(target=self.leases.keep, name="leases", daemon=True).start()
        others = [
            threading.Thread(target=self._run_thread, name=f"jobs-{number}", daemon=True)
            for number in range(1, self.handler.concurrency)
        ]
        for thread in others:
            thread.start()
        try:
            self._work(self.pipeline)
        except BaseException as error:
            self._end_with(error)
            raise
        finally:
            for thread in others:
                thread.join()
            self.leases.is_over = True
            self.pipeline.close()
        if self.failure:
            raise self.failure

    def _run_thread(self) -> None:
        pipeline = Pipeline.to(self.redis)
        try:
            self._work(pipeline)
        except BaseException as error:  # raised again by `run`
            self._end_with(error)
        finally:
            pipeline.close()

    def _end_with(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.stop.is_set = True

    def _work(self, pipeline: Pipeline) -> None:
        delay = 0.0
        while not self.stop.is_set:
            try:
                job = jobs.claim(self.redis, self.queue, self.name)
                while job:
                    job = self._process(job, pipeline, claim_from=self.queue)
                jobs.wait_for_work(self.blocking, self.queue, seconds=1)
                delay = 0.0
            except redis_errors.RedisError as error:
                if not is_transient(error):
                    raise
                delay = min(5.0, delay * 2 or 0.1)
                logger.warning("Redis: %s; trying again in %.1f s", type(error).__name__, delay)
                self.stop.sleep(delay)

    def run_once(self) -> bool:
        """Process one job. Returns whether there was one."""
        job = jobs.claim(self.redis, self.queue, self.name)
        if job:
            self._process(job, self.pipeline)
        return job is not None

    def _process(self, job: Claimed, pipeline: Pipeline, claim_from: str = "") -> Claimed | None:
        """Process a job, and claim the next one with the submission. None: no job is queued."""
        begun = time.monotonic()
        self.leases.begin(job, self.handler.deadline(job))
        try:
            with bound(job_id=job.id):
                outcome, next_job = self._handle_and_submit(job, pipeline, claim_from)
        finally:
            self.leases.end(job)
        JOBS.labels(self.queue, outcome).inc()
        SECONDS.labels(self.queue).observe(time.monotonic() - begun)
        return next_job

    def _handle_and_submit(
        self, job: Claimed, pipeline: Pipeline, claim_from: str
    ) -> tuple[str, Claimed | None]:
        try:
            result = self._handle(job)
        except AttemptFailed as failed:
            jobs.fail_attempt(self.redis, job.id, self.name, failed.reason)
            more = claim_from and not self.stop.is_set
            return "failed", jobs.claim(self.redis, claim_from, self.name) if more else None
        self.leases.handled(job)
        submitted = self._submit(job, result, pipeline, claim_from)
        if submitted.status == "EXCEEDED":
            logger.error("The result of job %s costs more than was reserved", job.id)
            jobs.fail_attempt(self.redis, job.id, self.name, "cost_exceeded")
            return "failed", submitted.next
        return OUTCOMES[result.outcome], submitted.next

    def _handle(self, job: Claimed) -> JobResult:
        if job.spec.kind != self.kind:
            raise AttemptFailed("wrong_kind")  # of a queue that workers of two kinds serve
        try:
            return self.handler.handle(job)
        except AttemptFailed:
            raise
        except Exception as error:
            # Handlers call third-party code: an exception ends this attempt, and the worker continues. Its
            # message may quote private input, so only the traceback is logged.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("The handler raised %s on attempt %d\n%s", type(error).__name__, job.attempt, where)
            raise AttemptFailed(self.handler.failed) from None

    def _submit(self, job: Claimed, result: JobResult, pipeline: Pipeline, claim_from: str) -> SubmitOutcome:
        """Submit until Redis accepts it: a restart of Redis must not cost a finished result."""
        deadline = time.monotonic() + SUBMIT_SECONDS
        while True:
            try:
                more = "" if self.stop.is_set else claim_from
                submitted = jobs.submit(pipeline, job.id, self.name, result, more)
                if submitted.status != "LOST":
                    return submitted
                logger.warning("Redis had no room for %d bytes of a result", len(result.blob))
            except redis_errors.RedisError as error:
                if not is_transient(error) or self.stop.is_set or time.monotonic() > deadline:
                    raise
            self.stop.sleep(0.2)


class Leases:
    """Renews the leases of the current jobs while handlers work, in one thread for the life of the worker.

    A handler that hangs cannot be interrupted: past its deadline the process ends, and its supervisor starts
    another. After SIGTERM the current jobs have STOP_GRACE; then they are released.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.is_over = False
        self._clock = RunningTime()
        self._lock = threading.Lock()
        self._current: dict[str, CurrentJob] = {}

    def begin(self, job: Claimed, deadline: float) -> None:
        current = CurrentJob(job, deadline, self._clock(), time.monotonic())
        with self._lock:
            self._current[job.id] = current

    def handled(self, job: Claimed) -> None:
        """The handler has returned: the deadline, which is the handler's, no longer applies."""
        self._current[job.id].is_handled = True

    def end(self, job: Claimed) -> None:
        with self._lock:
            del self._current[job.id]

    def keep(self) -> None:
        stop_at: float | None = None
        while not self.is_over:
            self._clock.tick(0.1)
            now = time.monotonic()
            if self.worker.stop.is_set:
                stop_at = stop_at or now + STOP_GRACE
            if current := self._jobs():
                self._maintain(current, now, stop_at)

    def _jobs(self) -> list["CurrentJob"]:
        with self._lock:
            return list(self._current.values())

    def _maintain(self, current: list["CurrentJob"], now: float, stop_at: float | None) -> None:
        hung = [each for each in current if each.is_hung(self._clock())]
        if hung:
            self._end_process(hung)
        if stop_at is not None and now >= stop_at:
            self._release_and_end()
        for each in current:
            if now >= each.renewed + settings.RENEW_SECONDS:
                each.renewed = now
                self._renew(each.job)

    def _renew(self, job: Claimed) -> None:
        try:
            jobs.renew(self.worker.redis, job.id, self.worker.name)
        except redis_errors.RedisError as error:
            if not is_transient(error):
                raise
            logger.warning("The lease could not be renewed: %s", type(error).__name__)

    def _end_process(self, hung: list["CurrentJob"]) -> None:
        for each in hung:
            logger.error(
                "Job %s is past its deadline of %.1f s: ending this worker", each.job.id, each.deadline
            )
            self._release(each.job, counted=True)
        self._release_all()  # those that hang are no longer ours
        os._exit(EXIT_HUNG)

    def _release_and_end(self) -> None:
        self._release_all()
        os._exit(1 if self.worker.failure else 0)

    def _release_all(self) -> None:
        for each in self._jobs():
            self._release(each.job, counted=False)

    def _release(self, job: Claimed, *, counted: bool) -> None:
        """Release the job before the process ends. When Redis fails, its lease expires."""
        try:
            if counted:
                jobs.fail_attempt(self.worker.redis, job.id, self.worker.name, self.worker.handler.hung)
            else:
                jobs.release(self.worker.redis, job.id, self.worker.name)
        except redis_errors.RedisError as error:
            logger.warning("The job could not be released: %s", type(error).__name__)


@dataclass(slots=True)
class CurrentJob:
    """A job being processed. `since` is in running time, `renewed` in monotonic time."""

    job: Claimed
    deadline: float
    since: float
    renewed: float
    is_handled: bool = False

    def is_hung(self, now: float) -> bool:
        return not self.is_handled and now >= self.since + self.deadline


class RunningTime:
    """A clock that excludes the time for which the process was stopped, which is not the handler's."""

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
