"""Listens to Yapit from a program: reconnects, resumes and heals by itself.

    async with Client("https://yapit.example", key) as client:
        async for block in client.speak(document_id, voice="heart"):
            play(block.audio)

Needs no Django: websockets and msgspec are enough.
"""

from yapit.client.client import Block, Client, Document, Speech, Word, speak
from yapit.client.errors import (
    BlockFailed,
    ClientError,
    NotAuthenticated,
    OriginRefused,
    Refused,
    Unreachable,
    UsageLimit,
)

__all__ = [
    "Block",
    "BlockFailed",
    "Client",
    "ClientError",
    "Document",
    "NotAuthenticated",
    "OriginRefused",
    "Refused",
    "Speech",
    "Unreachable",
    "UsageLimit",
    "Word",
    "speak",
]
