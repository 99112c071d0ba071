"""Rate limits of one account: token buckets and connection slots in Redis, shared by all web processes."""

from django.conf import settings

from config.redis.multiplexed import MultiplexedConnection
from config.redis.scripts import arun
from yapit.limits.lua import script

SLOT_SECONDS = 60  # after which a slot that is not renewed is free again
RENEW_SLOT_SECONDS = 20.0

TAKE = script("take")
ACQUIRE_SLOT = script("acquire_slot")


def message_bucket(user_id: int) -> str:
    """Key of the token bucket of an account's messages."""
    return f"limit:messages:{user_id}"


async def take_message(link: MultiplexedConnection, user_id: int) -> float:
    """Take the token of one message. Returns 0, or the seconds to wait; then none was taken."""
    bucket = message_bucket(user_id)
    call = TAKE.call(settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND, 1, keys=[bucket])
    return int(await arun(link, call)) / 1000


async def acquire_slot(link: MultiplexedConnection, user_id: int, connection: str) -> bool:
    """Acquire or renew the slot of a connection. False: the account has no free one. Repeatable."""
    limit = settings.CONNECTIONS_PER_USER
    call = ACQUIRE_SLOT.call(connection, limit, SLOT_SECONDS, keys=[_slots(user_id)])
    return bool(await arun(link, call))


async def release_slot(link: MultiplexedConnection, user_id: int, connection: str) -> None:
    await link.execute("ZREM", _slots(user_id), connection)


def _slots(user_id: int) -> str:
    return f"limit:connections:{user_id}"
