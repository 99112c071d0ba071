"""Simulated clients: they request blocks, receive notifications, resync, and sometimes cancel.

As in a web process, any reply or notification may be lost with a server; only a resync is trusted.
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
from yapit.jobs import BlockState, Enqueued, EnqueueRequest, State
from yapit.synthesis.speech_job import SpeechSpec
from yapit.variant_hash import variant_hash

PROCESS = "drill"
USERS = 6
RESYNC_SECONDS = 1.0
MAX_ATTEMPTS = 5  # requests of a hash that has no state
TICK = 0.02
OUTAGE = (ConnectionError, TimeoutError, OutOfMemoryError)  # each is followed by a retry
# Shares of requests by what the tone engine does with them.
KINDS = {"": 0.94, "nothing": 0.03, "raise": 0.026, "die": 0.004}
HARMLESS = {kind: share for kind, share in KINDS.items() if kind != "die"}  # no worker dies
EXPECTED = {"": State.CACHED, "nothing": State.SKIPPED, "raise": State.ERROR, "die": State.ERROR}
SHARED = 0.3  # of the requests repeat an earlier one of any user
CANCELLED = 0.03  # of the requests


@dataclass(slots=True)
class BlockRequest:
    """One block that one user waits for."""

    user: int
    index: int
    spec: SpeechSpec
    kind: str
    request_id: str = ""
    job_id: str = ""
    state: str = ""  # how it ended
    attempts: int = 0
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
class ClientLog:
    """Observations of the clients, for the invariants."""

    requests: list[BlockRequest] = field(default_factory=list)
    checksums: dict[str, bytes] = field(default_factory=dict)  # sha256 of announced audio by hash
    unreadable: list[str] = field(default_factory=list)  # hashes that were announced and could not be read
    dropped: set[str] = field(default_factory=set)  # ids of jobs whose last subscriber cancelled
    outages: int = 0

    def pending(self) -> list[BlockRequest]:
        return [request for request in self.requests if not request.state]

    def states(self) -> Counter[str]:
        return Counter(request.state or "pending" for request in self.requests)


class SimulatedClients(threading.Thread):
    """Requests `rate` blocks a second until `stop_requesting`; receives until `close`."""

    def __init__(self, url: str, seed: int, rate: float, kinds: Mapping[str, float] = KINDS) -> None:
        super().__init__(name="clients")
        self.log = ClientLog()
        self.rate = rate
        self.kinds = kinds
        self.may_lose_state = threading.Event()  # set: a test makes Redis lose data
        self._random = random.Random(seed)
        self._redis = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, retry=None)
        self._pubsub_redis = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, retry=None)
        self._pubsub: redis.client.PubSub | None = None
        self._waiting: dict[str, list[BlockRequest]] = {}
        self._unread: set[str] = set()
        self._texts: list[tuple[SpeechSpec, str]] = []
        self._is_stopped = False
        self._is_closed = False
        self.failure: BaseException | None = None

    def stop_requesting(self) -> None:
        self._is_stopped = True

    def close(self) -> None:
        self._is_closed = True
        self.join()
        if self.failure:
            raise self.failure

    def is_idle(self) -> bool:
        return self._is_stopped and not self.log.pending() and not self._unread

    def run(self) -> None:
        due = time.monotonic()
        try:
            while not self._is_closed:
                while not self._is_stopped and time.monotonic() >= due:
                    due += self._random.expovariate(self.rate)
                    self._add_request()
                self._tick()
                time.sleep(TICK)
        except BaseException as error:
            self.failure = error
        finally:
            self._redis.close()
            self._pubsub_redis.close()

    def _tick(self) -> None:
        for step in (self._receive, self._send_requests, self._resync, self._fetch):
            try:
                step()
            except OUTAGE:
                self.log.outages += 1

    # --- Requests -------------------------------------------------------------------------------------------

    def _add_request(self) -> None:
        user = self._random.randint(1, USERS)
        if self._texts and self._random.random() < SHARED:
            spec, kind = self._random.choice(self._texts[-100:])
        else:
            spec, kind = self._new_spec(user)
            self._texts.append((spec, kind))
        request = BlockRequest(user, len(self.log.requests), spec, kind)
        self.log.requests.append(request)
        self._waiting.setdefault(spec.hash, []).append(request)

    def _new_spec(self, user: int) -> tuple[SpeechSpec, str]:
        kind = self._random.choices(list(self.kinds), list(self.kinds.values()))[0]
        text = f"{len(self._texts)} of {self._random.getrandbits(64):x}, " + "la " * self._random.randint(
            1, 30
        )
        return make_spec(text, kind, premium=user % 2 == 0), kind

    def _send_requests(self) -> None:
        unanswered = [
            request for request in self.log.requests[-5000:] if request.unanswered and not request.state
        ]
        calls = [self._enqueue_call(request) for request in unanswered]
        for request, reply in zip(unanswered, scripts.run_all(self._redis, calls), strict=True):
            request.unanswered = isinstance(reply, OUTAGE)
            if request.unanswered:
                continue
            if isinstance(reply, Exception):
                raise reply
            [answer] = Enqueued.read(reply).answers
            self._handle(request, answer)
            if answer.state is State.QUEUED:
                request.job_id = request.request_id
            if not request.state and self._random.random() < CANCELLED:
                request.leaving = True
        self._cancel([request for request in self._pending() if request.leaving])

    def _enqueue_call(self, request: BlockRequest) -> scripts.ScriptCall:
        request.attempts += 1
        request.looked_at = time.monotonic()
        enqueue = EnqueueRequest(request.spec.job, member=request.member, document=str(request.document))
        request.request_id = enqueue.id
        return jobs.enqueue_call(request.user, [enqueue], {})

    def _cancel(self, leaving: list[BlockRequest]) -> None:
        calls = [jobs.CANCEL.call(request.spec.hash, request.member) for request in leaving]
        for request, reply in zip(leaving, scripts.run_all(self._redis, calls), strict=True):
            if isinstance(reply, OUTAGE):
                continue
            if isinstance(reply, Exception):
                raise reply
            self._end(request, "cancelled")
            if reply == b"DROPPED" and request.job_id:
                self.log.dropped.add(request.job_id)

    # --- Answers --------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        if self._pubsub is None:
            self._pubsub = self._pubsub_redis.pubsub(ignore_subscribe_messages=True)
        try:
            self._pubsub.connection or self._pubsub.subscribe(f"notify:{PROCESS}")
            while message := self._pubsub.get_message(timeout=0):
                self._on_notification(message["data"])
        except OUTAGE:
            self._pubsub.close()
            self._pubsub = None
            raise

    def _on_notification(self, message: bytes) -> None:
        hash_, status = message[:64].decode(), chr(message[64])
        state = {"c": State.CACHED, "s": State.SKIPPED, "e": State.ERROR}[status]
        for request in list(self._waiting.get(hash_, ())):
            self._handle(request, BlockState(state, message[65:]))

    def _resync(self) -> None:
        now = time.monotonic()
        overdue = [
            request
            for request in self._pending()
            if not request.unanswered and now - request.looked_at > RESYNC_SECONDS
        ]
        for request in overdue:
            request.looked_at = now
        calls = [jobs.look_call([request.spec.hash]) for request in overdue]
        for request, reply in zip(overdue, scripts.run_all(self._redis, calls), strict=True):
            if isinstance(reply, OUTAGE):
                continue
            if isinstance(reply, Exception):
                raise reply
            self._handle(request, BlockState.read(reply[1]))

    def _handle(self, request: BlockRequest, answer: BlockState) -> None:
        if request.state or answer.state in (State.QUEUED, State.JOINED, State.WAITING):
            return
        if answer.state is State.NONE:
            request.unanswered = request.attempts <= MAX_ATTEMPTS
            if not request.unanswered:
                self._end(request, "lost")
            return
        if answer.state is State.CACHED and request.spec.hash not in self.log.checksums:
            self._unread.add(request.spec.hash)
        self._end(request, answer.state.value)
        self._fetch()

    def _end(self, request: BlockRequest, state: str) -> None:
        request.state = state
        others = self._waiting[request.spec.hash]
        others.remove(request)
        if not others:
            del self._waiting[request.spec.hash]

    def _pending(self) -> list[BlockRequest]:
        return [request for requests in self._waiting.values() for request in requests]

    def _fetch(self) -> None:
        """Fetch announced audio. During an outage it stays in `_unread`, for the next call."""
        for hash_ in list(self._unread):
            value = self._redis.get(f"audio:{hash_}")
            self._unread.discard(hash_)
            audio = verified_audio(value)
            if audio is not None:
                self.log.checksums[hash_] = hashlib.sha256(audio).digest()
            elif not self.may_lose_state.is_set():
                self.log.unreadable.append(hash_)


def verified_audio(value: bytes | None) -> bytes | None:
    """The audio of a blob, if it matches its checksum."""
    try:
        header, audio = blob.split(value or b"")
    except blob.BadBlob:
        return None
    return bytes(audio) if blob.verify(header, audio) else None


def make_spec(text: str, kind: str, *, premium: bool) -> SpeechSpec:
    parameters = {"ms_per_character": 2, "fail": kind}
    multiplier_bp = 15_000 if premium else 10_000
    spoken = {"model": "tone", "voice": "sine", "revision": ToneEngine.revision, "codec": opus.CODEC}
    return SpeechSpec(
        hash=variant_hash(text, parameters=parameters, **spoken),
        text=text,
        params=json.dumps(parameters),
        chars=len(text),
        cost=cost(len(text), multiplier_bp),
        multiplier_bp=multiplier_bp,
        usage_type="premium" if premium else "standard",
        **spoken,
    )
