"""Python client: documents and texts in, audio blocks out.

    async with Client("https://yapit.example", key) as client:
        async for block in client.speak(document_id, voice="heart"):
            play(block.audio)

Reconnects after a lost connection and requests missing blocks again. Depends on websockets and msgspec only;
the distribution `yapit-client` holds nothing else.
"""

from yapit.client.client import Block, Client, Document, SynthesizedText, Word, speak
from yapit.client.errors import (
    BlockFailed,
    ClientError,
    NotAuthenticated,
    OriginRefused,
    Refused,
    Unreachable,
    UsageLimit,
)
from yapit.client.events import Event
from yapit.client.read_ahead import AHEAD, ReadAhead
from yapit.client.session import RETRYABLE_REFUSALS

__all__ = [
    "AHEAD",
    "RETRYABLE_REFUSALS",
    "Block",
    "BlockFailed",
    "Client",
    "ClientError",
    "Document",
    "Event",
    "NotAuthenticated",
    "OriginRefused",
    "ReadAhead",
    "Refused",
    "SynthesizedText",
    "Unreachable",
    "UsageLimit",
    "Word",
    "speak",
]
