"""One-time tickets: open one WebSocket, from where no header can be set. Known to Redis only, by their hash.

A ticket stands for what it was bought with, so whatever ends that ends the socket as well.
"""

import hashlib
import re
import secrets

import msgspec
from django.conf import settings
from redis.asyncio import Redis

from config.redis.scripts import arun
from yapit.accounts.authentication import Identity
from yapit.limits import TAKE

TICKET = re.compile(r"yt_[0-9a-f]{48}")
BURST, PER_SECOND = 30, 1.0  # of one account

_decoder = msgspec.json.Decoder(Identity)


async def throttle(redis: Redis, user_id: int) -> float:
    """Seconds that this account has to wait for its next ticket; 0: none."""
    call = TAKE.call(BURST, PER_SECOND, 1, keys=[f"limit:tickets:{user_id}"])
    return int(await arun(redis, call)) / 1000


async def issue(redis: Redis, identity: Identity) -> str:
    ticket = f"yt_{secrets.token_hex(24)}"
    await redis.set(_name(ticket), msgspec.json.encode(identity), ex=settings.TICKET_SECONDS)
    return ticket


async def redeem(redis: Redis, ticket: str) -> Identity | None:
    """Whose it was; from now on it is nobody's. None: it was used, it is too old, or it never was one."""
    if not TICKET.fullmatch(ticket):
        return None
    found = await redis.getdel(_name(ticket))
    return _decoder.decode(found) if found else None


def _name(ticket: str) -> str:
    return f"ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
