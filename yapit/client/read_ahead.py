"""Which blocks of a document to ask for, and what became of each. Pure: no socket, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from yapit.protocol import MAX_INDICES, Status

AHEAD = 8  # blocks to have ready behind the one that plays
SILENCE_SECONDS = 10.0  # asked, and not even `queued` came back
QUEUED_SECONDS = 30.0  # queued, and nothing more was heard
RESENDS = 2  # into silence; then the line is dead
HEALS = 2  # times that audio may be gone when it is fetched
RETRIES = 6  # of a block that is told to come back
COME_BACK = frozenset({"busy", "unavailable", "lost"})
COME_BACK_SECONDS = 1.0  # doubled each time

State = Literal["idle", "asked", "queued", "cached", "skipped", "error"]
PENDING = frozenset({"asked", "queued"})
ENDED = frozenset({"cached", "skipped", "error"})


@dataclass(slots=True)
class Entry:
    """What is known of one block."""

    state: State = "idle"
    at: float = 0.0
    not_before: float = 0.0
    is_urgent: bool = False
    resends: int = 0
    heals: int = 0
    retries: int = 0
    status: Status | None = None  # the last one that ended it


@dataclass(frozen=True, slots=True)
class Wish:
    """One message."""

    priority: Literal["playing", "prefetch"]
    indices: Sequence[int]


@dataclass(slots=True)
class Reading:
    """The block at the cursor first, then those behind it, as the reader page does."""

    count: int
    cursor: int = 0
    ahead: int = AHEAD
    _entries: dict[int, Entry] = field(default_factory=dict)
    _held_until: float = 0.0
    _evictions: int = 0  # answers to our own seeking that are still to come

    def entry(self, index: int) -> Entry:
        found = self._entries.get(index)
        if found is None:
            found = self._entries[index] = Entry()
        return found

    @property
    def is_complete(self) -> bool:
        """Nothing in sight is missing."""
        return all(map(self.has_ended, self.window()))

    @property
    def is_waiting(self) -> bool:
        """The server works for us, as far as we know."""
        return any(entry.state in PENDING for entry in self._entries.values())

    def has_ended(self, index: int) -> bool:
        return index in self._entries and self._entries[index].state in ENDED

    def window(self) -> range:
        return range(self.cursor, min(self.count, self.cursor + self.ahead + 1))

    # --- Asking -----------------------------------------------------------------------------------------

    def wishes(self, now: float) -> list[Wish]:
        """The messages to send now; asking again at once gives none."""
        if now < self._held_until:
            return []
        window = self.window()
        wishes = []
        if window and self._is_due(window[0], now, urgent=True):
            wishes.append(Wish("playing", [window[0]]))
        due = [index for index in window[1:] if self._is_due(index, now)]
        wishes += [Wish("prefetch", due[at : at + MAX_INDICES]) for at in range(0, len(due), MAX_INDICES)]
        for wish in wishes:
            for index in wish.indices:
                entry = self.entry(index)
                entry.state, entry.at, entry.is_urgent = "asked", now, wish.priority == "playing"
        return wishes

    def _is_due(self, index: int, now: float, *, urgent: bool = False) -> bool:
        """Also what was asked for in good time, and now deserves its turn before the rest."""
        entry = self.entry(index)
        if entry.state == "idle":
            return now >= entry.not_before
        return urgent and entry.state in PENDING and not entry.is_urgent

    def hold(self, until: float) -> None:
        """Ask for nothing before that moment."""
        self._held_until = max(self._held_until, until)

    def resume(self) -> None:
        """Whatever has no outcome must be asked for again: a new connection, lost frames."""
        for entry in self._entries.values():
            if entry.state in PENDING:
                entry.state, entry.is_urgent, entry.resends = "idle", False, 0

    def reconnected(self) -> None:
        self._evictions = 0
        self.resume()

    def move(self, index: int) -> None:
        """On to a later block. What lies behind is forgotten."""
        self.cursor = index
        for old in [known for known in self._entries if known < index]:
            del self._entries[old]

    def seek(self, index: int) -> bool:
        """Anywhere. True: the server must be told by `cursor_moved`, since it works for us somewhere else."""
        is_waiting = self.is_waiting
        self._evictions += is_waiting
        self.resume()
        self.cursor = index
        return is_waiting

    # --- Hearing ----------------------------------------------------------------------------------------

    def receive(self, status: Status, now: float) -> bool:
        """False: it changed nothing, or is about a block that nobody asked for."""
        entry = self._entries.get(status.block_idx)
        if entry is None or entry.state in ENDED:
            return False
        if status.status == "queued":
            entry.state, entry.at = "queued", now
            return True
        if status.status == "error" and status.code in COME_BACK and entry.retries < RETRIES:
            entry.not_before = now + COME_BACK_SECONDS * 2**entry.retries
            entry.retries += 1
            entry.state, entry.is_urgent = "idle", False
            return True
        entry.state, entry.status = status.status, status
        return True

    def evicted(self, indices: Sequence[int]) -> None:
        if self._evictions:
            self._evictions -= 1
        else:
            self.drop(indices)

    def drop(self, indices: Sequence[int] | None) -> None:
        """These (None: all) are not waited for any more on the server."""
        for index, entry in self._entries.items():
            if entry.state in PENDING and (indices is None or index in indices):
                entry.state, entry.is_urgent = "idle", False

    def heal(self, index: int) -> bool:
        """Its audio was not there. True: the block may be asked for again."""
        entry = self.entry(index)
        if entry.heals >= HEALS:
            return False
        entry.state, entry.status, entry.is_urgent = "idle", None, False
        entry.heals += 1
        return True

    def look_for_silence(self, now: float) -> bool:
        """Whatever was not answered is asked for again. True: that was tried, and the line is dead."""
        is_dead = False
        for entry in self._entries.values():
            if entry.state == "queued" and now - entry.at > QUEUED_SECONDS:
                entry.state, entry.is_urgent = "idle", False
            elif entry.state == "asked" and now - entry.at > SILENCE_SECONDS:
                is_dead = is_dead or entry.resends >= RESENDS
                entry.state, entry.is_urgent = "idle", False
                entry.resends += 1
        return is_dead
