"""Plays the web process and its listeners: asks for blocks, hears the bell, looks again, now and then seeks.

As the real one it trusts nobody's answer but the next look: any reply or bell may be lost with a server.
"""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import redis
from redis.exceptions import ConnectionError, OutOfMemoryError, TimeoutError

from audiocache import blob
from billing.cost import cost
from config.redis import scripts
from yapit import jobs
from yapit.audio import opus
from yapit.engines.tone import ToneEngine
from yapit.jobs import BlockState, Enqueued, EnqueueRequest, JobSpec, State
from yapit.variant_hash import variant_hash

PROCESS = "drill"
USERS = 6
LOOK_SECONDS = 1.0
ASKS = 5  # how often a hash that nobody knows of is asked for again
TICK = 0.02
OUTAGE = (ConnectionError, TimeoutError, OutOfMemoryError)  # after each of them one asks again
KINDS = {"": 0.94, "nothing": 0.03, "raise": 0.026, "die": 0.004}
HARMLESS = {kind: share for kind, share in KINDS.items() if kind != "die"}  # to workers
EXPECTED = {"": State.CACHED, "nothing": State.SKIPPED, "raise": State.ERROR, "die": State.ERROR}
SHARED = 0.3  # of the requests are for what somebody else asked for before
SOUGHT_AWAY = 0.03  # of the listeners stop waiting for what they asked for


@dataclass(slots=True)
class Wish:
    """One listener who waits for one block."""

    user: int
    index: int
    work: JobSpec
    kind: str
    asked_id: str = ""
    job_id: str = ""
    state: str = ""  # how it ended
    asked: int = 0  # times
    unanswered: bool = True
    looked_at: float = 0.0
    leaving: bool = False

    @property
    def document(self) -> UUID:
        return UUID(int=self.user)

    @property
    def member(self) -> str:
        return jobs.member(self.user, self.document, self.index, f"{PROCESS}.{self.user}")


@dataclass
class Notes:
    """What the listeners know afterwards, for the invariants."""

    wishes: list[Wish] = field(default_factory=list)
    sums: dict[str, bytes] = field(default_factory=dict)  # sha256 of announced audio by hash
    unreadable: list[str] = field(default_factory=list)  # hashes that were announced and could not be read
    dropped: set[str] = field(default_factory=set)  # ids of jobs that ended because nobody waited any more
    outages: int = 0

    def pending(self) -> list[Wish]:
        return [wish for wish in self.wishes if not wish.state]

    def states(self) -> Counter[str]:
        return Counter(wish.state or "pending" for wish in self.wishes)


class Audience(threading.Thread):
    """Asks for `rate` blocks a second until `hush`; goes on listening until `leave`."""

    def __init__(self, url: str, seed: int, rate: float, kinds: Mapping[str, float] = KINDS) -> None:
        super().__init__(name="audience")
        self.notes = Notes()
        self.rate = rate
        self.kinds = kinds
        self.forgetful = threading.Event()  # set: Redis may have lost what it said, on purpose
        self._random = random.Random(seed)
        self._redis = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, retry=None)
        self._bells = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, retry=None)
        self._bell: redis.client.PubSub | None = None
        self._waiting: dict[str, list[Wish]] = {}
        self._unread: set[str] = set()
        self._texts: list[tuple[JobSpec, str]] = []
        self._silent = False
        self._left = False
        self.failure: BaseException | None = None

    def hush(self) -> None:
        self._silent = True

    def leave(self) -> None:
        self._left = True
        self.join()
        if self.failure:
            raise self.failure

    def is_content(self) -> bool:
        return self._silent and not self.notes.pending() and not self._unread

    def run(self) -> None:
        due = time.monotonic()
        try:
            while not self._left:
                while not self._silent and time.monotonic() >= due:
                    due += self._random.expovariate(self.rate)
                    self._wish()
                self._tick()
                time.sleep(TICK)
        except BaseException as error:
            self.failure = error
        finally:
            self._redis.close()
            self._bells.close()

    def _tick(self) -> None:
        for step in (self._listen, self._speak, self._look, self._read):
            try:
                step()
            except OUTAGE:
                self.notes.outages += 1

    # --- Wishes ---------------------------------------------------------------------------------------------

    def _wish(self) -> None:
        user = self._random.randint(1, USERS)
        if self._texts and self._random.random() < SHARED:
            work, kind = self._random.choice(self._texts[-100:])
        else:
            work, kind = self._new_work(user)
            self._texts.append((work, kind))
        wish = Wish(user, len(self.notes.wishes), work, kind)
        self.notes.wishes.append(wish)
        self._waiting.setdefault(work.hash, []).append(wish)

    def _new_work(self, user: int) -> tuple[JobSpec, str]:
        kind = self._random.choices(list(self.kinds), list(self.kinds.values()))[0]
        text = f"{len(self._texts)} of {self._random.getrandbits(64):x}, " + "la " * self._random.randint(
            1, 30
        )
        return make_work(text, kind, premium=user % 2 == 0), kind

    def _speak(self) -> None:
        asking = [wish for wish in self.notes.wishes[-5000:] if wish.unanswered and not wish.state]
        calls = [self._ask(wish) for wish in asking]
        for wish, raw in zip(asking, scripts.run_all(self._redis, calls), strict=True):
            wish.unanswered = isinstance(raw, OUTAGE)
            if wish.unanswered:
                continue
            if isinstance(raw, Exception):
                raise raw
            [answer] = Enqueued.read(raw).answers
            self._heard(wish, answer)
            if answer.state is State.QUEUED:
                wish.job_id = wish.asked_id
            if not wish.state and self._random.random() < SOUGHT_AWAY:
                wish.leaving = True
        self._cancel([wish for wish in self._pending() if wish.leaving])

    def _ask(self, wish: Wish) -> scripts.Call:
        wish.asked += 1
        wish.looked_at = time.monotonic()
        asked = EnqueueRequest(wish.work, member=wish.member, document=str(wish.document))
        wish.asked_id = asked.id
        return jobs.enqueue_call(wish.user, [asked], {})

    def _cancel(self, leaving: list[Wish]) -> None:
        calls = [jobs.CANCEL.call(wish.work.hash, wish.member) for wish in leaving]
        for wish, raw in zip(leaving, scripts.run_all(self._redis, calls), strict=True):
            if isinstance(raw, OUTAGE):
                continue
            if isinstance(raw, Exception):
                raise raw
            self._end(wish, "cancelled")
            if raw == b"DROPPED" and wish.job_id:
                self.notes.dropped.add(wish.job_id)

    # --- Answers --------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._bell is None:
            self._bell = self._bells.pubsub(ignore_subscribe_messages=True)
        try:
            self._bell.connection or self._bell.subscribe(f"notify:{PROCESS}")
            while message := self._bell.get_message(timeout=0):
                self._rung(message["data"])
        except OUTAGE:
            self._bell.close()
            self._bell = None
            raise

    def _rung(self, message: bytes) -> None:
        hash_, status = message[:64].decode(), chr(message[64])
        state = {"c": State.CACHED, "s": State.SKIPPED, "e": State.ERROR}[status]
        for wish in list(self._waiting.get(hash_, ())):
            self._heard(wish, BlockState(state, message[65:]))

    def _look(self) -> None:
        now = time.monotonic()
        patient = [w for w in self._pending() if not w.unanswered and now - w.looked_at > LOOK_SECONDS]
        for wish in patient:
            wish.looked_at = now
        calls = [jobs.look_call([wish.work.hash]) for wish in patient]
        for wish, raw in zip(patient, scripts.run_all(self._redis, calls), strict=True):
            if isinstance(raw, OUTAGE):
                continue
            if isinstance(raw, Exception):
                raise raw
            self._heard(wish, BlockState.read(raw[1]))

    def _heard(self, wish: Wish, answer: BlockState) -> None:
        if wish.state or answer.state in (State.QUEUED, State.JOINED, State.WAITING):
            return
        if answer.state is State.NONE:
            wish.unanswered = wish.asked <= ASKS
            if not wish.unanswered:
                self._end(wish, "lost")
            return
        if answer.state is State.CACHED and wish.work.hash not in self.notes.sums:
            self._unread.add(wish.work.hash)
        self._end(wish, answer.state.value)
        self._read()

    def _end(self, wish: Wish, state: str) -> None:
        wish.state = state
        others = self._waiting[wish.work.hash]
        others.remove(wish)
        if not others:
            del self._waiting[wish.work.hash]

    def _pending(self) -> list[Wish]:
        return [wish for wishes in self._waiting.values() for wish in wishes]

    def _read(self) -> None:
        """Fetch what was just announced. While the server is away nobody can tell: read when it is back."""
        for hash_ in list(self._unread):
            value = self._redis.get(f"audio:{hash_}")
            self._unread.discard(hash_)
            audio = whole(value)
            if audio is not None:
                self.notes.sums[hash_] = hashlib.sha256(audio).digest()
            elif not self.forgetful.is_set():
                self.notes.unreadable.append(hash_)


def whole(value: bytes | None) -> bytes | None:
    """The audio of a blob that is what its header says."""
    try:
        header, audio = blob.split(value or b"")
    except blob.BadBlob:
        return None
    return bytes(audio) if blob.verify(header, audio) else None


def make_work(text: str, kind: str, *, premium: bool) -> JobSpec:
    parameters = {"ms_per_character": 2, "fail": kind}
    multiplier_bp = 15_000 if premium else 10_000
    spoken = {"model": "tone", "voice": "sine", "revision": ToneEngine.revision, "codec": opus.CODEC}
    return JobSpec(
        hash=variant_hash(text, parameters=parameters, **spoken),
        text=text,
        params=json.dumps(parameters),
        chars=len(text),
        cost=cost(len(text), multiplier_bp),
        multiplier_bp=multiplier_bp,
        usage_type="premium" if premium else "standard",
        **spoken,
    )
