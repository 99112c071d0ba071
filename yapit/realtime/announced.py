"""Audio announced to each account within the last minutes, in memory."""

import time
from collections import OrderedDict

ANNOUNCED_SECONDS = 300.0
ANNOUNCED_LIMIT = 100_000  # in one process; then the oldest are forgotten


class AnnouncedAudio:
    def __init__(self) -> None:
        self._times: OrderedDict[tuple[int, str], float] = OrderedDict()

    def add(self, user_id: int, variant: str) -> None:
        self._times[(user_id, variant)] = time.monotonic()
        self._times.move_to_end((user_id, variant))
        if len(self._times) > ANNOUNCED_LIMIT:
            self._times.popitem(last=False)

    def was_announced(self, user_id: int, variant: str) -> bool:
        """Whether this account was sent `cached` so recently that the audio must still exist."""
        at = self._times.get((user_id, variant))
        return at is not None and time.monotonic() - at < ANNOUNCED_SECONDS
