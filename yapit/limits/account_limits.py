"""What one account may do at once, counted in Redis for all web processes, by atomic scripts."""

from django.conf import settings

from config.redis.multiplexed import MultiplexedConnection
from config.redis.scripts import arun
from yapit.limits.lua import script

PLACE_SECONDS = 60  # a place that nobody keeps is free again
KEEP_SECONDS = 20.0

TAKE = script("take")
ENTER = script("enter")


def message_bucket(user_id: int) -> str:
    return f"limit:messages:{user_id}"


async def take_message(link: MultiplexedConnection, user_id: int) -> float:
    """Seconds that this account has to wait before its next message; 0: none."""
    bucket = message_bucket(user_id)
    call = TAKE.call(settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND, 1, keys=[bucket])
    return int(await arun(link, call)) / 1000


async def enter(link: MultiplexedConnection, user_id: int, connection: str) -> bool:
    """A place for one more connection of this account; False: all are taken. Repeatable."""
    places = settings.CONNECTIONS_PER_USER
    call = ENTER.call(connection, places, PLACE_SECONDS, keys=[_places(user_id)])
    return bool(await arun(link, call))


async def leave(link: MultiplexedConnection, user_id: int, connection: str) -> None:
    await link.execute("ZREM", _places(user_id), connection)


def _places(user_id: int) -> str:
    return f"limit:connections:{user_id}"
