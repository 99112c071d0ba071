"""Read-ahead: the blocks of a document to request next, and the progress of each. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from yapit.protocol import MAX_INDICES, Status

AHEAD = 8  # blocks to have ready after the one that plays
ACK_TIMEOUT_SECONDS = 10.0  # until a request without any answer is repeated
QUEUED_TIMEOUT_SECONDS = 30.0  # until a request that was answered by `queued` only is repeated
RESENDS = 2  # of an unanswered request; then the connection counts as dead
MAX_AUDIO_LOSSES = 2  # times that the audio of one block may be gone when it is fetched
RETRYABLE_FAILURES = frozenset({"busy", "unavailable", "lost"})  # codes of a status
RETRIES = 6  # of a block with such a code
RETRY_SECONDS = 1.0  # doubled each time

State = Literal["idle", "requested", "queued", "cached", "skipped", "error"]
PENDING = frozenset({"requested", "queued"})
ENDED = frozenset({"cached", "skipped", "error"})


@dataclass(slots=True)
class BlockProgress:
    """The state of one block; times are those of the caller's clock."""

    state: State = "idle"
    at: float = 0.0  # of the last change of `state`
    not_before: float = 0.0
    is_urgent: bool = False
    resends: int = 0
    audio_losses: int = 0
    retries: int = 0
    status: Status | None = None  # the terminal one


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """The contents of one `synthesize` message."""

    priority: Literal["playing", "prefetch"]
    indices: Sequence[int]


@dataclass(slots=True)
class ReadAhead:
    """Requests the block at the cursor first, then those of the window after it, as the reader page does."""

    count: int
    cursor: int = 0
    ahead: int = AHEAD
    _blocks: dict[int, BlockProgress] = field(default_factory=dict)
    _held_until: float = 0.0
    _expected_evictions: int = 0  # answers to `cursor_moved` that are still to come

    def block(self, index: int) -> BlockProgress:
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = BlockProgress()
        return block

    @property
    def is_complete(self) -> bool:
        """All blocks of the window have ended."""
        return all(map(self.has_ended, self.window()))

    @property
    def is_pending(self) -> bool:
        """The server is expected to answer at least one request."""
        return any(block.state in PENDING for block in self._blocks.values())

    def has_ended(self, index: int) -> bool:
        return index in self._blocks and self._blocks[index].state in ENDED

    def window(self) -> range:
        return range(self.cursor, min(self.count, self.cursor + self.ahead + 1))

    # --- Requests ---------------------------------------------------------------------------------------

    def take_requests(self, now: float) -> list[BlockRequest]:
        """The requests that are due, which count as sent from now on."""
        if now < self._held_until:
            return []
        window = self.window()
        requests = []
        if window and self._is_due(window[0], now, urgent=True):
            requests.append(BlockRequest("playing", [window[0]]))
        due = [index for index in window[1:] if self._is_due(index, now)]
        for at in range(0, len(due), MAX_INDICES):
            requests.append(BlockRequest("prefetch", due[at : at + MAX_INDICES]))
        for request in requests:
            for index in request.indices:
                block = self.block(index)
                block.state, block.at, block.is_urgent = "requested", now, request.priority == "playing"
        return requests

    def _is_due(self, index: int, now: float, *, urgent: bool = False) -> bool:
        """True as well for a prefetched block that is pending when the cursor reaches it."""
        block = self.block(index)
        if block.state == "idle":
            return now >= block.not_before
        return urgent and block.state in PENDING and not block.is_urgent

    def hold(self, until: float) -> None:
        """Request nothing before that moment."""
        self._held_until = max(self._held_until, until)

    def reset_pending(self) -> None:
        """Request again all blocks without an outcome, after lost frames."""
        for block in self._blocks.values():
            if block.state in PENDING:
                block.state, block.is_urgent, block.resends = "idle", False, 0

    def reconnected(self) -> None:
        self._expected_evictions = 0
        self.reset_pending()

    def move(self, index: int) -> None:
        """Advance the cursor; earlier blocks are forgotten."""
        self.cursor = index
        for earlier in [known for known in self._blocks if known < index]:
            del self._blocks[earlier]

    def seek(self, index: int) -> bool:
        """Move the cursor anywhere. True: `cursor_moved` must be sent, since requests are pending."""
        is_pending = self.is_pending
        self._expected_evictions += is_pending
        self.reset_pending()
        self.cursor = index
        return is_pending

    # --- Answers ----------------------------------------------------------------------------------------

    def receive(self, status: Status, now: float) -> bool:
        """Record a status. False: the block was not requested or has ended already."""
        block = self._blocks.get(status.block_idx)
        if block is None or block.state in ENDED:
            return False
        if status.status == "queued":
            block.state, block.at = "queued", now
            return True
        if status.status == "error" and status.code in RETRYABLE_FAILURES and block.retries < RETRIES:
            block.not_before = now + RETRY_SECONDS * 2**block.retries
            block.retries += 1
            block.state, block.is_urgent = "idle", False
            return True
        block.state, block.status = status.status, status
        return True

    def evicted(self, indices: Sequence[int]) -> None:
        """Record an `evicted` message: an answer to `cursor_moved`, or blocks that the server dropped."""
        if self._expected_evictions:
            self._expected_evictions -= 1
        else:
            self.drop(indices)

    def drop(self, indices: Sequence[int] | None) -> None:
        """Return pending blocks (None: all) to idle, since the server does not know them any more."""
        for index, block in self._blocks.items():
            if block.state in PENDING and (indices is None or index in indices):
                block.state, block.is_urgent = "idle", False

    def audio_lost(self, index: int) -> bool:
        """Record that the audio of a cached block was gone. True: the block will be requested again."""
        block = self.block(index)
        if block.audio_losses >= MAX_AUDIO_LOSSES:
            return False
        block.state, block.status, block.is_urgent = "idle", None, False
        block.audio_losses += 1
        return True

    def check_timeouts(self, now: float) -> bool:
        """Request unanswered blocks again. True: that was tried often enough, the connection is dead."""
        is_dead = False
        for block in self._blocks.values():
            if block.state == "queued" and now - block.at > QUEUED_TIMEOUT_SECONDS:
                block.state, block.is_urgent = "idle", False
            elif block.state == "requested" and now - block.at > ACK_TIMEOUT_SECONDS:
                is_dead = is_dead or block.resends >= RESENDS
                block.state, block.is_urgent = "idle", False
                block.resends += 1
        return is_dead
