"""Server messages about blocks, built from their states."""

from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

from audiocache import blob
from yapit import protocol
from yapit.catalog.resolution import SpokenAs
from yapit.jobs import BlockState, State
from yapit.protocol import Status, Usage
from yapit.realtime.pending_blocks import PendingBlock

DECODED_HEADERS = 64  # some 10 KB each with the word timings made of them


def queued(block: PendingBlock) -> Status:
    return _status(block, "queued", audio_url=_audio_url(block))


def terminal(block: PendingBlock, state: BlockState, usage: Usage | None = None) -> Status:
    """`cached`, `skipped` or `error`; `usage` goes with the error `usage_limit`."""
    if state.state is State.CACHED:
        word_timestamps, duration_ms = _decode_header(state.detail)
        spec = block.spec
        return Status(  # without `_status`, whose keyword arguments take a third of the time
            document_id=block.document_id,
            block_idx=block.index,
            status="cached",
            audio_url=_audio_url(block),
            model_slug=spec.model,
            voice_slug=spec.voice,
            word_timestamps=word_timestamps,
            duration_ms=duration_ms,
            pause_ms=block.pause_ms,
        )
    if state.state is State.SKIPPED:
        return _status(block, "skipped", code="nothing_to_speak", recoverable=True)
    code = state.detail.decode()
    return _status(
        block,
        "error",
        code=code,
        error=protocol.CODES.get(code, protocol.CODES["engine_failed"]),
        recoverable=code != "usage_limit",
        usage=usage,
    )


def out_of_range(document_id: UUID, index: int, spoken: SpokenAs) -> Status:
    return Status(
        document_id=document_id,
        block_idx=index,
        status="skipped",
        code="out_of_range",
        model_slug=spoken.model_slug,
        voice_slug=spoken.voice_slug,
    )


def rate_limited(code: str, refused: Sequence[tuple[PendingBlock, BlockState]]) -> protocol.Error:
    """One error for all blocks that exceed a rate; they are not accepted."""
    return protocol.Error(
        code=code,
        error=protocol.CODES[code],
        document_id=refused[0][0].document_id,
        block_indices=[block.index for block, _ in refused],
        retry_after=max(state.figure for _, state in refused) / 1000,
    )


def _status(block: PendingBlock, status: str, **rest: object) -> Status:
    return Status(
        document_id=block.document_id,
        block_idx=block.index,
        status=status,  # type: ignore[arg-type]
        model_slug=block.spec.model,
        voice_slug=block.spec.voice,
        **rest,  # type: ignore[arg-type]
    )


def _audio_url(block: PendingBlock) -> str:
    return f"/v1/audio/{block.spec.hash}"


@lru_cache(maxsize=DECODED_HEADERS)
def _decode_header(header: bytes) -> tuple[str | None, int]:
    """Word timings and duration in ms; computed once for all subscribers of a notification."""
    decoded = blob.header_of(header)
    return protocol.word_timestamps(decoded.words), decoded.duration_ms
