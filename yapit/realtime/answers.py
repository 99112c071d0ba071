"""Answers of one connection: states of pending blocks become messages to its client."""

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from yapit import jobs, protocol
from yapit.catalog.resolution import SpokenAs
from yapit.jobs import BlockState, State
from yapit.protocol import Usage
from yapit.realtime import messages
from yapit.realtime.notifications import NotificationHub
from yapit.realtime.pending_blocks import PendingBlock, PendingBlocks

NOTIFICATION_STATES = {"c": State.CACHED, "s": State.SKIPPED, "e": State.ERROR}

Send = Callable[[protocol.ServerMessage], None]


class BlockAnswers:
    """Registers pending blocks with the hub, and sends one terminal status for each."""

    __slots__ = ("_connection", "_hub", "_user_id", "pending", "send")

    def __init__(self, connection: str, user_id: int, hub: NotificationHub, send: Send) -> None:
        self._connection = connection
        self._user_id = user_id
        self._hub = hub
        self.send = send
        self.pending = PendingBlocks()

    def wait_for(self, block: PendingBlock) -> None:
        self.pending.add(block)
        self._hub.subscribers.add(block.spec.hash, self)

    def drop(self, blocks: Iterable[PendingBlock]) -> list[tuple[str, str]]:
        """Stop waiting, without a status. Returns (hash, member) of each block for `jobs.cancel`."""
        dropped = []
        for block in blocks:
            self._remove(block)
            dropped.append((block.spec.hash, self.member(block)))
        return dropped

    def member(self, block: PendingBlock) -> str:
        """The block's entry among the subscribers of its hash in Redis."""
        return jobs.member(self._user_id, block.document_id, block.index, self._connection)

    def on_notification(self, variant: str, status: str, detail: bytes) -> None:
        state = NOTIFICATION_STATES.get(status)
        if state is None:
            return
        ended = BlockState(state, detail)
        for block in self.pending.of_hash(variant):
            if block.is_queued_sent:
                self.finish(block, ended)
            else:
                block.early_state = ended

    def send_queued(self, block: PendingBlock) -> None:
        if not block.is_queued_sent:
            block.is_queued_sent = True
            self.send(messages.queued(block))
        if block.early_state is not None:
            self.finish(block, block.early_state)

    def send_out_of_range(self, document_id: UUID, index: int, spoken: SpokenAs) -> None:
        self.send(messages.out_of_range(document_id, index, spoken))

    def finish(self, block: PendingBlock, state: BlockState, usage: Usage | None = None) -> None:
        """Send the terminal status of a block."""
        self._remove(block)
        if state.state is State.CACHED:
            self._hub.announced.add(self._user_id, block.spec.hash)
        self.send(messages.terminal(block, state, usage))

    def refuse(self, code: str, refused: Sequence[tuple[PendingBlock, BlockState]]) -> None:
        """These blocks exceed a rate and are not accepted: one error for all, no statuses."""
        for block, _ in refused:
            self._remove(block)
        self.send(messages.rate_limited(code, refused))

    def _remove(self, block: PendingBlock) -> None:
        if self.pending.remove(block):
            self._hub.subscribers.remove(block.spec.hash, self)
