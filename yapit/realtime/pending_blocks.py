"""Pending blocks of one connection, by audio hash."""

from dataclasses import dataclass
from uuid import UUID

from yapit.jobs import BlockState
from yapit.synthesis.speech_job import SpeechSpec

NO_DOCUMENT = UUID(int=0)  # of a text that belongs to no document


@dataclass(slots=True, eq=False)
class PendingBlock:
    """A block that was requested and has no terminal status yet."""

    document_id: UUID
    index: int
    spec: SpeechSpec
    priority: int
    pause_ms: int | None = None  # None: not a block of a document
    attempts: int = 0  # how often its job vanished and it was requested again
    is_billable: bool = True
    # `queued` must not follow `cached`: a state that is notified before `queued` is sent waits here.
    is_queued_sent: bool = False
    early_state: BlockState | None = None

    @property
    def document(self) -> str:
        """Empty for a text that belongs to no document."""
        return "" if self.document_id == NO_DOCUMENT else str(self.document_id)

    @property
    def key(self) -> tuple[UUID, int]:
        return self.document_id, self.index


class PendingBlocks:
    __slots__ = ("_by_hash",)

    def __init__(self) -> None:
        self._by_hash: dict[str, dict[tuple[UUID, int], PendingBlock]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_hash)

    def __contains__(self, block: PendingBlock) -> bool:
        return self._by_hash.get(block.spec.hash, {}).get(block.key) is block

    def add(self, block: PendingBlock) -> None:
        """A block of the same document, index and hash is replaced."""
        self._by_hash.setdefault(block.spec.hash, {})[block.key] = block

    def remove(self, block: PendingBlock) -> bool:
        """Remove the block of this document, index and hash. Returns whether none of the hash is left."""
        blocks = self._by_hash.get(block.spec.hash)
        if blocks is None:
            return False
        blocks.pop(block.key, None)
        if blocks:
            return False
        del self._by_hash[block.spec.hash]
        return True

    def all(self) -> list[PendingBlock]:
        return [block for blocks in self._by_hash.values() for block in blocks.values()]

    def of_hash(self, variant: str) -> list[PendingBlock]:
        return list(self._by_hash.get(variant, {}).values())

    def of_document(self, document_id: UUID) -> list[PendingBlock]:
        return [block for block in self.all() if block.document_id == document_id]

    def documents(self) -> set[str]:
        return {block.document for block in self.all()}
