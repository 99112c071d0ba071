"""WebSocket messages and error codes of both sockets (docs/protocol.md). Pure: imports no Django."""

from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec

SUBPROTOCOL = "yapit.v1"
MAX_INDICES = 32
MAX_WATCHED = 200  # documents of one connection
MAX_FRAME_BYTES = 65_536

CODES = {
    "invalid_message": "The frame is not a message of this protocol.",
    "unknown_type": "The message's `type` is not one of this protocol.",
    "binary_frame": "Messages are JSON in text frames.",
    "too_many_blocks": f"More than {MAX_INDICES} block indices in one message.",
    "document_not_found": "There is no such document, or it is not yours to read.",
    "model_not_found": "There is no such model.",
    "voice_not_found": "The model has no such voice, or it is not yours to use.",
    "rate_limited": "More was asked for than may be at once; wait for `retry_after` seconds.",
    "too_many_documents": "Blocks of too many documents were asked for; wait for `retry_after` seconds.",
    "too_many_watched": f"More than {MAX_WATCHED} documents are watched by one connection.",
    "unavailable": "A part of the service does not answer right now; ask again.",
    "out_of_range": "The document has no block with this index.",
    "nothing_to_speak": "The voice finds nothing to say in this block.",
    "usage_limit": "The characters of the plan are used up.",
    "busy": "More is waiting than may wait; ask again in a moment.",
    "engine_failed": "The voice failed on this block.",
    "bad_parameters": "The voice does not take its parameters.",
    "unknown_voice": "The engine has no such voice.",
    "text_too_long": "The block is longer than the voice takes.",
    "bad_text": "The block is not text that a voice can read.",
    "engine_empty": "The voice answered without audio.",
    "engine_incomplete": "The voice ended in the middle of this block.",
    "encoding_failed": "The voice's audio could not be encoded.",
    "bad_audio": "The voice returned something that is not audio.",
    "audio_too_large": "The block's audio is larger than may be kept.",
    "revision_mismatch": "The workers run another version of this voice.",
    "wrong_kind": "The workers of this queue do another kind of work.",
    "cost_exceeded": "The work would cost more than was reserved for it.",
    "engine_hung": "The voice did not finish this block in time.",
    "worker_lost": "The workers that tried this block did not survive it.",
    "result_refused": "What the workers handed in for this block could not be read.",
    "lost": "The block was lost on its way several times.",
}

Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class ProtocolError(Exception):
    """A refused frame, answered by an `error` frame. The message is addressed to the client's developer."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        document_id: UUID | None = None,
        block_indices: list[int] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or CODES[code])
        self.code = code
        self.document_id = document_id
        self.block_indices = block_indices
        self.retry_after = retry_after


class Synthesize(msgspec.Struct, tag="synthesize", frozen=True):
    """Request the audio of blocks, in this order, by default in the default voice."""

    document_id: UUID
    block_indices: list[int]
    model: Slug | None = None
    voice: Slug | None = None
    priority: Literal["playing", "prefetch"] = "prefetch"


class CursorMoved(msgspec.Struct, tag="cursor_moved", frozen=True):
    """The listener moved to another position: all pending blocks of the document are cancelled."""

    document_id: UUID
    cursor: int = 0


class Options(msgspec.Struct, tag="options", frozen=True):
    """Options of the connection, from this message on. `batched`: several statuses in one frame."""

    batched: bool = False


ClientMessage = Synthesize | CursorMoved | Options


class Watch(msgspec.Struct, tag="watch", frozen=True):
    """Follow the changes of these documents, too. Answered by `watching`."""

    document_ids: list[UUID]


class Unwatch(msgspec.Struct, tag="unwatch", frozen=True):
    """Follow these documents no longer. Answered by `watching`."""

    document_ids: list[UUID]


EventsClientMessage = Watch | Unwatch


class Usage(msgspec.Struct, frozen=True):
    """The usage because of which a block is refused, in characters."""

    available: int
    limit: int
    used: int
    requested: int
    period_end: str | None = None


class Status(msgspec.Struct, tag="status", kw_only=True):
    """The status of one block. Terminal: cached, skipped, error."""

    seq: int = 0
    document_id: UUID
    block_idx: int
    status: Literal["queued", "cached", "skipped", "error"]
    audio_url: str | None = None
    error: str | None = None
    recoverable: bool = True
    code: str | None = None
    model_slug: str | None = None
    voice_slug: str | None = None
    word_timestamps: str | None = None
    duration_ms: int | None = None
    pause_ms: int | None = None
    usage: Usage | None = None


class Statuses(msgspec.Struct, tag="statuses", kw_only=True):
    """Statuses of several blocks in one frame, in order, for connections with the option `batched`.

    All have the `seq` of the frame.
    """

    seq: int = 0
    statuses: list[Status]


class UsageThreshold(msgspec.Struct, tag="usage_threshold", kw_only=True):
    """The account's usage reached `threshold` percent. Sent once, and again after usage was below it."""

    seq: int = 0
    usage_type: str
    threshold: int
    available: int
    limit: int
    period_end: str | None = None


class Evicted(msgspec.Struct, tag="evicted", kw_only=True):
    """Blocks, in order, that were cancelled; they get no further status."""

    seq: int = 0
    document_id: UUID
    block_indices: list[int]


class Error(msgspec.Struct, tag="error", kw_only=True):
    """A refused message."""

    seq: int = 0
    code: str
    error: str
    document_id: UUID | None = None
    block_indices: list[int] | None = None
    retry_after: float | None = None


ServerMessage = Status | Statuses | UsageThreshold | Evicted | Error
Subject = Literal["account", "balance", "document", "keys", "preferences", "voices"]


class Connected(msgspec.Struct, tag="connected", kw_only=True):
    """Changes from here on are told; earlier ones may have been missed, so the state is read again."""

    seq: int = 0


class Changed(msgspec.Struct, tag="changed", kw_only=True):
    """The subject of a change, without its new value, which is read over HTTP."""

    seq: int = 0
    subject: Subject
    document_id: UUID | None = None


class DocumentGone(msgspec.Struct, tag="document_gone", kw_only=True):
    """A watched document was deleted, or is no longer shared with the account. It is watched no longer."""

    seq: int = 0
    document_id: UUID


class Watching(msgspec.Struct, tag="watching", kw_only=True):
    """All documents that are now watched. Their changes from here on are told."""

    seq: int = 0
    document_ids: list[UUID]


EventsServerMessage = Connected | Changed | DocumentGone | Watching | Error
AnyServerMessage = ServerMessage | EventsServerMessage

_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_events_decoder: msgspec.json.Decoder[EventsClientMessage] = msgspec.json.Decoder(EventsClientMessage)
_encoder = msgspec.json.Encoder()
T = TypeVar("T")


def decode(text: str | None) -> ClientMessage:
    """Parse one frame of /v1/ws/tts. Raises ProtocolError."""
    message = _decode(_decoder, text)
    if isinstance(message, Synthesize) and len(message.block_indices) > MAX_INDICES:
        raise ProtocolError("too_many_blocks", document_id=message.document_id)
    return message


def decode_events(text: str | None) -> EventsClientMessage:
    """Parse one frame of /v1/ws/events. Raises ProtocolError."""
    message = _decode(_events_decoder, text)
    if len(message.document_ids) > MAX_WATCHED:
        raise ProtocolError("too_many_watched")
    return message


def _decode(decoder: "msgspec.json.Decoder[T]", text: str | None) -> T:
    if text is None:
        raise ProtocolError("binary_frame")
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        code = "unknown_type" if str(error).endswith("`$.type`") else "invalid_message"
        raise ProtocolError(code, "" if code == "unknown_type" else _reason(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("invalid_message", "The frame is not JSON.") from None


def _reason(error: msgspec.ValidationError) -> str:
    """The description and the position of the error, without the value, which may be as long as a frame."""
    description, at, position = str(error).rpartition(" - at ")
    return description.partition(" '")[0] + at + position


def encode(message: AnyServerMessage) -> str:
    return _encoder.encode(message).decode()


class _Timing(msgspec.Struct, frozen=True):
    t: str
    s: float
    e: float


def word_timestamps(words: tuple[tuple[str, int, int], ...]) -> str | None:
    """A JSON list of {t, s, e} in seconds from words with milliseconds; None without words."""
    if not words:
        return None
    return _encoder.encode([_Timing(text, start / 1000, end / 1000) for text, start, end in words]).decode()
