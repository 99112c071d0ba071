"""Rate limits of one account: token buckets and connection slots in Redis, shared by all web processes."""

from django.conf import settings

from config.redis.multiplexed import MultiplexedConnection
from config.redis.scripts import arun
from yapit.limits.lua import script
from yapit.redis_keys import connection_slots, message_bucket

SLOT_SECONDS = 60  # after which a slot that is not renewed is free again
RENEW_SLOT_SECONDS = 20.0

TAKE = script("take")
ACQUIRE_SLOT = script("acquire_slot")


async def take_message(link: MultiplexedConnection, user_id: int) -> float:
    """Take the token of one message. Returns 0, or the seconds to wait; then none was taken."""
    call = TAKE.call(settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND, 1, keys=[message_bucket(user_id)])
    return int(await arun(link, call)) / 1000


async def acquire_slot(link: MultiplexedConnection, user_id: int, connection: str) -> bool:
    """Acquire or renew the slot of a connection. False: the account has no free one. Repeatable."""
    limit = settings.CONNECTIONS_PER_USER
    call = ACQUIRE_SLOT.call(connection, limit, SLOT_SECONDS, keys=[connection_slots(user_id)])
    return bool(await arun(link, call))


async def release_slot(link: MultiplexedConnection, user_id: int, connection: str) -> None:
    await link.execute("ZREM", connection_slots(user_id), connection)
