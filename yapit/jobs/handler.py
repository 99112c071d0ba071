"""The contract between the worker's loop and the code that does the work of one kind of job."""

from typing import ClassVar, Protocol

from yapit.jobs.protocol import Claimed, JobResult


class AttemptFailed(Exception):
    """This attempt failed; another one, perhaps of another worker, may succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobHandler(Protocol):
    """Does the work of the jobs of one kind, in one worker process that serves one queue.

    `JOB_HANDLERS` in the settings names the class of each kind. A worker process makes these calls:

    1. The constructor with the name of the queue, in the main thread. Raises CommandError, with a sentence
       that says what is missing, if this process cannot serve the queue.
    2. `warm`, in the main thread, before the first claim. No lease is held, so it may take minutes.
    3. For each job: `deadline`, then `handle`, in the thread that has claimed it. There are `concurrency`
       such threads, and each holds at most one job, under a lease of its own that another thread renews.
       With a concurrency of 1 it is the main thread: one call at a time.

    `handle` ends in one of four ways:

    - It returns a JobResult: bytes to keep, nothing, or an error code that ends the job. A cost above that of
      the spec fails the attempt with the reason `cost_exceeded`.
    - It raises AttemptFailed: the job is queued again, and after its last attempt becomes a dead letter that
      has the reason as its code.
    - It raises anything else: the same with the reason `failed`. The traceback is logged without the
      message, which may quote private input.
    - It does not return before the deadline: the attempt fails with the reason `hung`, and the process ends
      with EXIT_HUNG, since a thread cannot be interrupted. Other jobs of the process are released, and their
      attempts are not counted. Time in which the process was stopped does not count.

    After SIGTERM no job is claimed. `handle` may go on for STOP_GRACE seconds; then its job is released and
    the process ends. Delivery is at least once: after a crash the same job comes again, to any worker.
    """

    concurrency: int  # jobs at once in one process
    failed: ClassVar[str]  # code of an attempt that raised an unexpected exception
    hung: ClassVar[str]  # code of an attempt that exceeded its deadline

    def __init__(self, queue: str) -> None: ...

    def warm(self) -> None:
        """Load what the jobs need. Repeatable."""

    def deadline(self, job: Claimed) -> float:
        """Seconds that `handle` may take for this job. Does not raise."""

    def handle(self, job: Claimed) -> JobResult:
        """Do the work of one job. Repeatable."""
