"""One-time tickets: each opens one WebSocket for a client that cannot set headers. Stored in Redis by hash.

A ticket carries the identity it was issued for, so revoking that credential also closes the socket.
"""

import hashlib
import re
import secrets

import msgspec
from django.conf import settings
from redis.asyncio import Redis

from config.redis.scripts import arun
from yapit import redis_keys
from yapit.accounts.authentication import Identity
from yapit.limits import TAKE

TICKET = re.compile(r"yt_[0-9a-f]{48}")
BURST, PER_SECOND = 30, 1.0  # per account

_decoder = msgspec.json.Decoder(Identity)


async def throttle(redis: Redis, user_id: int) -> float:
    """Count a ticket; return the seconds until the account may have it, 0 if it may now."""
    call = TAKE.call(BURST, PER_SECOND, 1, keys=[redis_keys.ticket_bucket(user_id)])
    return int(await arun(redis, call)) / 1000


async def issue(redis: Redis, identity: Identity) -> str:
    """A ticket that is valid for TICKET_SECONDS."""
    ticket = f"yt_{secrets.token_hex(24)}"
    await redis.set(_key(ticket), msgspec.json.encode(identity), ex=settings.TICKET_SECONDS)
    return ticket


async def redeem(redis: Redis, ticket: str) -> Identity | None:
    """Consume the ticket and return its identity; None if it is used, expired or unknown."""
    if not TICKET.fullmatch(ticket):
        return None
    stored = await redis.getdel(_key(ticket))
    return _decoder.decode(stored) if stored else None


def _key(ticket: str) -> str:
    return redis_keys.ticket(hashlib.sha256(ticket.encode()).hexdigest())
