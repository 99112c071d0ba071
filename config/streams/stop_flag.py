"""Graceful shutdown: a flag that SIGTERM and SIGINT set."""

import signal
import time


class StopFlag:
    """Set by a signal. A bare attribute: taking a lock in a signal handler can deadlock."""

    def __init__(self) -> None:
        self.is_set = False

    def listen(self) -> "StopFlag":
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        return self

    def _stop(self, signum: int, frame: object) -> None:
        if self.is_set:
            raise SystemExit(128 + signum)  # a second signal does not wait for the batch in hand
        self.is_set = True

    def sleep(self, seconds: float) -> None:
        """Sleep, but return within 0.1 seconds of a signal."""
        deadline = time.monotonic() + seconds
        while not self.is_set and time.monotonic() < deadline:
            time.sleep(min(0.1, seconds))
