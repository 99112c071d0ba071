"""Synthesis session of one connection: each block that it requests ends in one terminal status."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from config.redis.multiplexed import MultiplexedConnection
from yapit import jobs, limits, protocol, redis_keys
from yapit.accounts.identity import Identity
from yapit.jobs import BlockState, State
from yapit.protocol import ProtocolError
from yapit.realtime.answers import BlockAnswers, Send
from yapit.realtime.notifications import NotificationHub
from yapit.realtime.pending_blocks import NO_DOCUMENT, PendingBlock
from yapit.realtime.requests import BlockRequests
from yapit.synthesis import lookup
from yapit.synthesis.speech_job import SpeechSpec

MAX_ATTEMPTS = 5  # for a block whose job vanishes again and again
PRIORITIES = {"playing": jobs.Priority.PLAYING, "prefetch": jobs.Priority.PREFETCH}


async def check_rate(link: MultiplexedConnection, user_id: int) -> None:
    """Count one message of a client. Raises ProtocolError when the account sends too many."""
    wait = await limits.take_message(link, user_id)
    if wait:
        raise ProtocolError("rate_limited", retry_after=wait)


class SynthesisSession:
    """Requests, seeking and resync run one at a time; notifications are delivered meanwhile."""

    __slots__ = ("_answers", "_hub", "_requests", "_turn", "_user_id")

    def __init__(self, connection: str, identity: Identity, hub: NotificationHub, send: Send) -> None:
        user_id = self._user_id = identity.user_id
        self._hub = hub
        self._answers = BlockAnswers(connection, user_id, hub, send)
        self._requests = BlockRequests(identity, hub, self._answers)
        self._turn = asyncio.Lock()

    @property
    def is_waiting(self) -> bool:
        return bool(self._answers.pending)

    @property
    def is_billed(self) -> bool:
        """Whether anything was requested against the credit of the account."""
        return self._requests.meter.is_used

    async def request(self, message: protocol.Synthesize) -> None:
        """Answer the blocks of a message in its order, or wait for them.

        Raises ProtocolError, DocumentNotFound, UnknownModel or UnknownVoice.
        """
        resolved = lookup.resolve_cached(message, self._user_id)
        bucket = redis_keys.message_bucket(self._user_id)
        if resolved is None:
            # Before PostgreSQL is queried, which messages above the rate must not cause.
            await check_rate(self._hub.link, self._user_id)
            resolved, bucket = await lookup.resolve(message, self._user_id), ""
        spoken, specs = resolved
        async with self._turn:
            blocks: list[PendingBlock] = []
            out_of_range: list[int] = []
            for index in dict.fromkeys(message.block_indices):
                if index in specs:
                    spec, priority = specs[index], PRIORITIES[message.priority]
                    block = PendingBlock(message.document_id, index, spec.job, priority, spec.pause_ms)
                    blocks.append(block)
                else:
                    out_of_range.append(index)
            if bucket:
                states = await self._requests.look(blocks, bucket)
            else:
                states = await self._requests.look_and_read_credit(blocks)
            for index in out_of_range:
                self._answers.send_out_of_range(message.document_id, index, spoken)
            await self._requests.answer(blocks, states)

    async def request_text(self, spec: SpeechSpec, priority: int, *, is_billable: bool = True) -> None:
        """Request a text that belongs to no document. Raises ProtocolError."""
        block = PendingBlock(NO_DOCUMENT, 0, spec, priority, is_billable=is_billable)
        async with self._turn:
            states = await self._requests.look([block], redis_keys.message_bucket(self._user_id))
            await self._requests.answer([block], states)

    async def check_credit(self) -> None:
        """Send warnings that a changed balance calls for."""
        for warning in await self._requests.meter.check():
            self._answers.send(warning)

    async def stop_waiting(self, document_id: UUID) -> None:
        """Drop the pending blocks of a document. Other connections are not affected."""
        async with self._turn:
            blocks = self._answers.pending.of_document(document_id)
            dropped = self._answers.drop(blocks)
            if blocks:
                indices = sorted({block.index for block in blocks})
                self._answers.send(protocol.Evicted(document_id=document_id, block_indices=indices))
                await jobs.cancel(self._hub.link, dropped)

    async def resync(self) -> None:
        """Read the states of all pending blocks again, since notifications may have been lost."""
        async with self._turn:
            blocks = self._answers.pending.all()
            states = await self._requests.look(blocks)
            vanished = []
            for block, state in zip(blocks, states, strict=True):
                if block not in self._answers.pending or state.state is State.WAITING:
                    continue
                if state.state is State.NONE:
                    vanished.append(block)
                else:
                    self._answers.finish(block, state)
            await self._request_again(vanished)

    def close(self) -> list[tuple[str, str]]:
        """The connection has ended. Returns (hash, member) of its pending blocks for `jobs.cancel`."""
        self._requests.is_closed = True
        return self._answers.drop(self._answers.pending.all())

    async def _request_again(self, vanished: Sequence[PendingBlock]) -> None:
        """Blocks whose job is gone without a result, as after a loss of data in Redis."""
        again = []
        for block in vanished:
            block.attempts += 1
            if block.attempts > MAX_ATTEMPTS:
                self._answers.finish(block, BlockState(State.ERROR, b"lost"))
            else:
                again.append(block)
        if again:
            await self._requests.answer(again, await self._requests.look(again))
