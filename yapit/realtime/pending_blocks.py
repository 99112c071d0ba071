"""What one connection waits for, and what it is told: each request ends in one terminal status."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

from audiocache import blob
from yapit import jobs, limits, protocol
from yapit.catalog.resolution import SpokenAs
from yapit.jobs import BlockState, EnqueueRequest, JobSpec, State
from yapit.protocol import ProtocolError, Status, Usage
from yapit.realtime.notifications import NotificationHub
from yapit.synthesis import credit as credits
from yapit.synthesis import lookup
from yapit.synthesis.credit import Credit, Limited

PLAYED = 64  # headers, some 10 KB each with what is made of them
MAX_TRIES = 5  # of a job that vanishes again and again
PRIORITIES = {"playing": jobs.Priority.PLAYING, "prefetch": jobs.Priority.PREFETCH}
NOTIFICATION_STATES = {"c": State.CACHED, "s": State.SKIPPED, "e": State.ERROR}
NO_DOCUMENT = UUID(int=0)  # of a text that stands alone

Send = Callable[[protocol.ServerMessage], None]


@dataclass(slots=True, eq=False)
class PendingBlock:
    """One block that this connection asked for and has no terminal status of."""

    document_id: UUID
    index: int
    work: JobSpec
    priority: int
    tries: int = 0
    # `queued` must not follow `cached`: until it is sent, a bell leaves its answer here.
    is_told_queued: bool = False
    early: BlockState | None = None
    is_billable: bool = True

    @property
    def document(self) -> str:
        return "" if self.document_id == NO_DOCUMENT else str(self.document_id)


@dataclass(eq=False)
class PendingBlocks:
    """The pending set of one connection. Requests, seeking and second looks take turns; bells do not wait."""

    connection: str
    user_id: int
    hub: NotificationHub
    send: Send
    _wanted: defaultdict[str, dict[tuple[UUID, int], PendingBlock]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _documents: set[str] = field(default_factory=set)
    _is_over: bool = False

    def __post_init__(self) -> None:
        self.meter = credits.Meter(self.hub.link, self.user_id)

    @property
    def is_waiting(self) -> bool:
        return bool(self._wanted)

    async def request(self, message: protocol.Synthesize) -> None:
        """Answer each block of a message, in its order, or wait for it."""
        resolved = lookup.remembered(message, self.user_id)
        bucket = limits.message_bucket(self.user_id)
        if resolved is None:
            # PostgreSQL is not asked anything by messages that are too many.
            await self.check_rate()
            resolved, bucket = await lookup.resolve(message, self.user_id), ""
        spoken, works = resolved
        async with self._turn:
            found: list[PendingBlock] = []
            missing: list[int] = []
            for index in dict.fromkeys(message.block_indices):
                if index in works:
                    found.append(
                        PendingBlock(message.document_id, index, works[index], PRIORITIES[message.priority])
                    )
                else:
                    missing.append(index)
            looks = await (self._look(found, bucket) if bucket else self._look_at_first(found))
            for index in missing:
                self._send_out_of_range(message.document_id, index, spoken)
            await self._ask(found, looks)

    async def check_rate(self) -> None:
        wait = await limits.take_message(self.hub.link, self.user_id)
        if wait:
            raise ProtocolError("rate_limited", retry_after=wait)

    async def _look(self, found: Sequence[PendingBlock], bucket: str = "") -> list[BlockState]:
        wait, looks = await jobs.look(self.hub.link, [wanted.work.hash for wanted in found], bucket)
        if wait:
            raise ProtocolError("rate_limited", retry_after=wait)
        return looks

    async def _look_at_first(self, found: Sequence[PendingBlock]) -> list[BlockState]:
        """What the account may ask for is read meanwhile, and is there when it is wanted."""
        looks, _ = await asyncio.gather(self._look(found), self._credits(found))
        return looks

    async def check_credit(self) -> None:
        """The balance is not what it was."""
        for message in await self.meter.check():
            self.send(message)

    async def want(self, work: JobSpec, priority: int, *, is_billable: bool = True) -> None:
        """A text that is in no document, as `request` does it for blocks."""
        wanted = PendingBlock(NO_DOCUMENT, 0, work, priority, is_billable=is_billable)
        async with self._turn:
            await self._ask([wanted], await self._look([wanted], limits.message_bucket(self.user_id)))

    async def stop_waiting(self, document_id: UUID) -> None:
        """The listener went elsewhere. Only this connection's own waiting ends."""
        async with self._turn:
            dropped = [wanted for wanted in self._all() if wanted.document_id == document_id]
            for wanted in dropped:
                self._forget(wanted)
            if dropped:
                self.send(
                    protocol.Evicted(
                        document_id=document_id, block_indices=sorted({w.index for w in dropped})
                    )
                )
                await jobs.cancel(self.hub.link, self._members(dropped))

    def abandon(self) -> list[tuple[str, str]]:
        """The connection is gone. What it waited for as (hash, member), for `jobs.cancel` after a grace."""
        self._is_over = True
        dropped = list(self._all())
        for wanted in dropped:
            self._forget(wanted)
        return self._members(dropped)

    def on_notification(self, variant: str, status: str, detail: bytes) -> None:
        state = NOTIFICATION_STATES.get(status)
        if state is None:
            return
        answer = BlockState(state, detail)
        for wanted in tuple(self._wanted.get(variant, {}).values()):
            if wanted.is_told_queued:
                self._finish(wanted, answer)
            else:
                wanted.early = answer

    async def look_again(self) -> None:
        """A bell may have been lost: what became of all that is pending?"""
        async with self._turn:
            pending = list(self._all())
            answers = await self._look(pending)
            vanished = []
            for wanted, answer in zip(pending, answers, strict=True):
                if not self._is_pending(wanted) or answer.state is State.WAITING:
                    continue
                if answer.state is State.NONE:
                    vanished.append(wanted)
                else:
                    self._finish(wanted, answer)
            await self._ask_for_vanished(vanished)

    async def _ask_for_vanished(self, vanished: Sequence[PendingBlock]) -> None:
        again = []
        for wanted in vanished:
            wanted.tries += 1
            if wanted.tries > MAX_TRIES:
                self._finish(wanted, BlockState(State.ERROR, b"lost"))
            else:
                again.append(wanted)
        if again:
            await self._ask(again, await self._look(again))

    async def _ask(self, found: Sequence[PendingBlock], looks: Sequence[BlockState]) -> None:
        """From Redis, then from SQLite, then from the workers: two round trips, whatever the number."""
        kept = await lookup.kept_headers(
            self.hub.link,
            [
                w.work.hash
                for w, look in zip(found, looks, strict=True)
                if look.state in (State.NONE, State.ERROR)
            ],
        )
        missing = []
        for wanted, look in zip(found, looks, strict=True):
            if look.state in (State.CACHED, State.SKIPPED):
                self._finish(wanted, look)
            elif wanted.work.hash in kept:
                self._finish(wanted, BlockState(State.CACHED, kept[wanted.work.hash]))
            else:
                missing.append(wanted)
        await self._enqueue(missing)

    async def _enqueue(self, missing: Sequence[PendingBlock]) -> None:
        if not missing or self._is_over:  # a second look may outlive its connection
            return
        for wanted in missing:  # before the job exists, so that its bell finds somebody
            self._wanted[wanted.work.hash][(wanted.document_id, wanted.index)] = wanted
            self.hub.wait_for(wanted.work.hash, self)
        known = await self._credits(missing)
        enqueued = await self._enqueue_all(missing, known)
        too_soon: defaultdict[str, list[tuple[PendingBlock, BlockState]]] = defaultdict(list)
        for wanted, answer in zip(missing, enqueued.answers, strict=True):
            if answer.state in (State.QUEUED, State.JOINED):
                self._send_queued(wanted)
            elif answer.detail in jobs.TOO_SOON:
                too_soon[answer.detail.decode()].append((wanted, answer))
            elif answer.detail == b"usage_limit":
                credit = known[wanted.work.usage_type]
                self._finish(wanted, answer, credits.usage_of(credit, answer.figure, wanted.work.cost))
            else:
                self._finish(wanted, answer)
        for code, refused in too_soon.items():
            self._turn_away(code, refused)
        for usage_type, left in enqueued.left.items():
            for warning in self.meter.warnings(usage_type, known[usage_type], left):
                self.send(warning)

    async def _credits(self, missing: Sequence[PendingBlock]) -> dict[str, Credit]:
        kinds = {wanted.work.usage_type for wanted in missing}
        return {kind: await self.meter.credit(kind) for kind in kinds}

    async def _enqueue_all(self, missing: Sequence[PendingBlock], known: dict[str, Credit]) -> jobs.Enqueued:
        """Nobody is refused by a reading that may be stale: `known` is read anew, and all is asked again."""
        asked = [self._asked(wanted) for wanted in missing]
        ceilings, done_with = credits.ceilings(known), self._done_with()
        enqueued = await jobs.enqueue(self.hub.link, self.user_id, asked, ceilings, done_with)
        doubtful = {
            wanted.work.usage_type
            for wanted, answer in zip(missing, enqueued.answers, strict=True)
            if answer.detail == b"unread"
            or (answer.detail == b"usage_limit" and _may_be_stale(known[wanted.work.usage_type]))
        }
        if not doubtful:
            return enqueued
        credits.forget(self.user_id)
        known.update(await self._credits(missing))
        return await jobs.enqueue(self.hub.link, self.user_id, asked, credits.ceilings(known))

    def _done_with(self) -> list[str]:
        """The documents that this connection waits for no more, since it last asked."""
        waited, self._documents = self._documents, {wanted.document for wanted in self._all()}
        return list(waited - self._documents)

    def _turn_away(self, code: str, refused: Sequence[tuple[PendingBlock, BlockState]]) -> None:
        """More than may be asked for in a minute: these blocks are not accepted."""
        for wanted, _ in refused:
            self._forget(wanted)
        self.send(
            protocol.Error(
                code=code,
                error=protocol.CODES[code],
                document_id=refused[0][0].document_id,
                block_indices=[wanted.index for wanted, _ in refused],
                retry_after=max(answer.figure for _, answer in refused) / 1000,
            )
        )

    def _asked(self, wanted: PendingBlock) -> EnqueueRequest:
        return EnqueueRequest(
            wanted.work,
            member=self._member(wanted),
            document=wanted.document,
            priority=wanted.priority,
            # We said that it is there; that it is not is our fault.
            billable=wanted.is_billable and not self.hub.was_announced(self.user_id, wanted.work.hash),
            is_limited=wanted.tries == 0,  # what was accepted stays accepted
        )

    def _send_queued(self, wanted: PendingBlock) -> None:
        if not wanted.is_told_queued:
            wanted.is_told_queued = True
            self.send(self._status(wanted, "queued", audio_url=_url(wanted)))
        if wanted.early is not None:
            self._finish(wanted, wanted.early)

    def _finish(self, wanted: PendingBlock, answer: BlockState, usage: Usage | None = None) -> None:
        """The one terminal status of this request."""
        self._forget(wanted)
        if answer.state is State.CACHED:
            self.hub.remember_announced(self.user_id, wanted.work.hash)
            timings, duration_ms = _played(answer.detail)
            self.send(
                self._status(
                    wanted,
                    "cached",
                    audio_url=_url(wanted),
                    word_timestamps=timings,
                    duration_ms=duration_ms,
                )
            )
        elif answer.state is State.SKIPPED:
            self._send_without_audio(wanted, "skipped", "nothing_to_speak")
        else:
            self._send_without_audio(wanted, "error", answer.detail.decode(), usage)

    def _send_without_audio(
        self, wanted: PendingBlock, status: str, code: str, usage: Usage | None = None
    ) -> None:
        message = protocol.CODES.get(code, protocol.CODES["engine_failed"])
        self.send(
            self._status(
                wanted,
                status,
                code=code,
                error=message if status == "error" else None,
                recoverable=code != "usage_limit",
                usage=usage,
            )
        )

    def _send_out_of_range(self, document_id: UUID, index: int, spoken: SpokenAs) -> None:
        self.send(
            Status(
                document_id=document_id,
                block_idx=index,
                status="skipped",
                code="out_of_range",
                model_slug=spoken.model_slug,
                voice_slug=spoken.voice_slug,
            )
        )

    def _status(self, wanted: PendingBlock, status: str, **rest: object) -> Status:
        return Status(
            document_id=wanted.document_id,
            block_idx=wanted.index,
            status=status,  # type: ignore[arg-type]
            model_slug=wanted.work.model,
            voice_slug=wanted.work.voice,
            **rest,  # type: ignore[arg-type]
        )

    def _all(self) -> Iterable[PendingBlock]:
        return [wanted for blocks in self._wanted.values() for wanted in blocks.values()]

    def _is_pending(self, wanted: PendingBlock) -> bool:
        return self._wanted.get(wanted.work.hash, {}).get((wanted.document_id, wanted.index)) is wanted

    def _forget(self, wanted: PendingBlock) -> None:
        blocks = self._wanted.get(wanted.work.hash)
        if blocks is None:
            return
        blocks.pop((wanted.document_id, wanted.index), None)
        if not blocks:
            del self._wanted[wanted.work.hash]
            self.hub.stop_waiting(wanted.work.hash, self)

    def _member(self, wanted: PendingBlock) -> str:
        return jobs.member(self.user_id, wanted.document_id, wanted.index, self.connection)

    def _members(self, dropped: Iterable[PendingBlock]) -> list[tuple[str, str]]:
        return [(wanted.work.hash, self._member(wanted)) for wanted in dropped]


def _url(wanted: PendingBlock) -> str:
    return f"/v1/audio/{wanted.work.hash}"


@lru_cache(maxsize=PLAYED)
def _played(header: bytes) -> tuple[str | None, int]:
    """The word timings and milliseconds to tell; worked out once for all who hear the same bell."""
    found = blob.header_of(header)
    return protocol.word_timestamps(found.words), found.duration_ms


def _may_be_stale(credit: Credit) -> bool:
    return isinstance(credit, Limited) and credit.may_be_stale
