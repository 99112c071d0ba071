"""What one account may do at once, counted in Redis for all web processes, by atomic scripts."""

from django.conf import settings
from redis.asyncio import Redis

from config.scripts import arun
from yapit.lua import script

PLACE_SECONDS = 60  # a place that nobody keeps is free again
KEEP_SECONDS = 20.0

TAKE = script("take", "limits")
ENTER = script("enter")


async def take_message(redis: Redis, user_id: int) -> float:
    """Seconds that this account has to wait before its next message; 0: none."""
    bucket = f"limit:messages:{user_id}"
    call = TAKE.call(settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND, 1, keys=[bucket])
    return int(await arun(redis, call)) / 1000


async def enter(redis: Redis, user_id: int, connection: str) -> bool:
    """A place for one more connection of this account; False: all are taken. Repeatable."""
    places = settings.CONNECTIONS_PER_USER
    call = ENTER.call(connection, places, PLACE_SECONDS, keys=[_places(user_id)])
    return bool(await arun(redis, call))


async def leave(redis: Redis, user_id: int, connection: str) -> None:
    await redis.zrem(_places(user_id), connection)


def _places(user_id: int) -> str:
    return f"limit:connections:{user_id}"
