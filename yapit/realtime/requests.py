"""Requests of one connection: blocks are looked up, and those without audio enqueued against the credit."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence, Set

from yapit import jobs
from yapit.accounts.identity import Identity
from yapit.jobs import BlockState, EnqueueRequest, State
from yapit.protocol import ProtocolError
from yapit.realtime.answers import BlockAnswers
from yapit.realtime.notifications import NotificationHub
from yapit.realtime.pending_blocks import PendingBlock
from yapit.synthesis import credit as credits
from yapit.synthesis import lookup
from yapit.synthesis.credit import Credit, Limited, Meter

NONE_PENDING: Set[str] = frozenset()


class BlockRequests:
    """Two round trips to Redis for any number of blocks: one for their states, one to enqueue."""

    __slots__ = ("_answers", "_api_key", "_documents", "_hub", "_user_id", "is_closed", "meter")

    def __init__(self, identity: Identity, hub: NotificationHub, answers: BlockAnswers) -> None:
        user_id = self._user_id = identity.user_id
        self._api_key = identity.api_key_id or ""
        self._hub = hub
        self._answers = answers
        # Pending when blocks were last enqueued. An idle connection shares the empty set.
        self._documents: Set[str] = NONE_PENDING
        self.meter = Meter(hub.link, user_id)
        self.is_closed = False

    async def look(self, blocks: Sequence[PendingBlock], bucket: str = "") -> list[BlockState]:
        """States in Redis. With a bucket, takes the token of one message. Raises ProtocolError."""
        wait, states = await jobs.look(self._hub.link, [block.spec.hash for block in blocks], bucket)
        if wait:
            raise ProtocolError("rate_limited", retry_after=wait)
        return states

    async def look_and_read_credit(self, blocks: Sequence[PendingBlock]) -> list[BlockState]:
        """Reads the credit at the same time, so that it is in memory when blocks are enqueued."""
        states, _ = await asyncio.gather(self.look(blocks), self._credits(blocks))
        return states

    async def answer(self, blocks: Sequence[PendingBlock], states: Sequence[BlockState]) -> None:
        """Answer from Redis, then from the audio store; enqueue the rest."""
        unknown = [
            block.spec.hash
            for block, state in zip(blocks, states, strict=True)
            if state.state in (State.NONE, State.ERROR)
        ]
        stored = await lookup.stored_headers(self._hub.link, unknown)
        missing = []
        for block, state in zip(blocks, states, strict=True):
            if state.state in (State.CACHED, State.SKIPPED):
                self._answers.finish(block, state)
            elif block.spec.hash in stored:
                self._answers.finish(block, BlockState(State.CACHED, stored[block.spec.hash]))
            else:
                missing.append(block)
        await self._enqueue(missing)

    async def _enqueue(self, missing: Sequence[PendingBlock]) -> None:
        if not missing or self.is_closed:  # a resync may outlive its connection
            return
        for block in missing:  # before the job exists: its notification may come before the reply
            self._answers.wait_for(block)
        known = await self._credits(missing)
        enqueued = await self._enqueue_within(known, missing)
        rate_limited: defaultdict[str, list[tuple[PendingBlock, BlockState]]] = defaultdict(list)
        for block, state in zip(missing, enqueued.answers, strict=True):
            if state.state in (State.QUEUED, State.JOINED):
                self._answers.send_queued(block)
            elif state.detail in jobs.TOO_SOON:
                rate_limited[state.detail.decode()].append((block, state))
            elif state.detail == b"usage_limit":
                credit = known[block.spec.usage_type]
                self._answers.finish(block, state, credits.usage_of(credit, state.figure, block.spec.cost))
            else:
                self._answers.finish(block, state)
        for code, refused in rate_limited.items():
            self._answers.refuse(code, refused)
        for usage_type, left in enqueued.left.items():
            for warning in self.meter.warnings(usage_type, known[usage_type], left):
                self._answers.send(warning)

    async def _credits(self, blocks: Sequence[PendingBlock]) -> dict[str, Credit]:
        usage_types = {block.spec.usage_type for block in blocks}
        return {usage_type: await self.meter.credit(usage_type) for usage_type in usage_types}

    async def _enqueue_within(
        self, known: dict[str, Credit], missing: Sequence[PendingBlock]
    ) -> jobs.Enqueued:
        """Before refusing for credit, reload possibly stale balances into `known` and enqueue once more."""
        requests = [self._request_for(block) for block in missing]
        enqueued = await self._send(requests, known, self._finished_documents())
        is_doubtful = any(
            state.detail == b"unread"
            or (state.detail == b"usage_limit" and _may_be_stale(known[block.spec.usage_type]))
            for block, state in zip(missing, enqueued.answers, strict=True)
        )
        if not is_doubtful:
            return enqueued
        credits.forget(self._user_id)
        known.update(await self._credits(missing))
        return await self._send(requests, known)

    async def _send(
        self, requests: Sequence[EnqueueRequest], known: dict[str, Credit], finished: Sequence[str] = ()
    ) -> jobs.Enqueued:
        limits = credits.limits(known)
        return await jobs.enqueue(self._hub.link, self._user_id, requests, limits, finished, self._api_key)

    def _request_for(self, block: PendingBlock) -> EnqueueRequest:
        # Audio that was announced and is gone again was paid for.
        was_announced = self._hub.announced.was_announced(self._user_id, block.spec.hash)
        return EnqueueRequest(
            block.spec.job,
            member=self._answers.member(block),
            document=block.document,
            priority=block.priority,
            billable=block.is_billable and not was_announced,
            is_limited=block.attempts == 0,  # an accepted block stays accepted
        )

    def _finished_documents(self) -> list[str]:
        """Documents for which this connection has stopped waiting since it last enqueued."""
        before, self._documents = self._documents, self._answers.pending.documents()
        return list(before - self._documents)


def _may_be_stale(credit: Credit) -> bool:
    return isinstance(credit, Limited) and credit.may_be_stale
