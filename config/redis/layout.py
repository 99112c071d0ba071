"""The version of the key names and stream fields in Redis, and the migration from an earlier version.

Layout 1 has no version key. In layout 2 the parts of a job were fields of their own, and reservations
belonged to no job. Processes of two layouts must not run beside each other: a reservation that one of them
takes is invisible to the other.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from redis import Redis
from redis.exceptions import RedisError

from config.redis import clients
from config.redis.scripts import Script, lua, run
from config.redis.transient import is_transient

logger = logging.getLogger(__name__)

VERSION = 3
VERSION_KEY = "layout"
# Key patterns that only layout 1 has.
EARLIER_KEYS = ("due:*", "asked:*", "counted-due", "day:????-??-??")
SCAN_COUNT = 1000
PATIENCE_SECONDS = 5.0  # in which the server notices that a killed process is gone
POLL_SECONDS = 0.1
EX_CONFIG = 78

MIGRATE = Script(lua(Path(__file__).parent / "lua", "migrate_layout"))


class LayoutError(Exception):
    """Redis holds another layout than this version works with; the message says what to do."""


def require() -> None:
    """Check the layout at the start of a process. Raises CommandError; waits for no Redis that is away."""
    try:
        with clients.sync() as redis:
            check(redis)
    except LayoutError as error:
        raise CommandError(str(error), returncode=EX_CONFIG) from error
    except RedisError as error:
        if not is_transient(error):
            raise
        logger.warning("The Redis layout could not be checked: %s", type(error).__name__)


def check(redis: Redis) -> None:
    """Raise LayoutError unless Redis has this version's layout or holds nothing of an earlier one.

    Repeatable; reads every key name once when no version has been written yet.
    """
    found = _version(redis)
    if found > VERSION:
        raise LayoutError(
            f"Redis holds layout {found} of a later version of Yapit, and this version knows {VERSION}."
        )
    if found < VERSION:
        raise LayoutError(
            "Redis holds the data of an earlier version of Yapit. Stop all of its processes, then run"
            " `manage.py migrate_redis` (run_stack does so itself)."
        )


def migrate(redis: Redis, dead_letter_streams: Iterable[str], *, force: bool = False) -> bool:
    """Bring Redis to this layout; return whether it held another. One atomic step, repeatable.

    Raises LayoutError while other clients use the same database, unless `force`, and for a later layout.
    """
    found = _version(redis)
    if found >= VERSION:
        check(redis)
        return False
    if not force:
        _wait_for_other_clients(redis)
    run(redis, MIGRATE.call(VERSION, *dead_letter_streams, keys=[VERSION_KEY]))
    return True


def _version(redis: Redis) -> int:
    """The layout of what Redis holds; written when it holds nothing that another layout could mean."""
    version: Any = redis.get(VERSION_KEY)
    if version is not None:
        return int(version)
    if _has_earlier_keys(redis):
        return 1
    redis.set(VERSION_KEY, VERSION, nx=True)
    return VERSION


def _has_earlier_keys(redis: Redis) -> bool:
    return (
        any(_first_key(redis, pattern) for pattern in EARLIER_KEYS)
        or _has_earlier_jobs(redis)
        or _has_earlier_dead_letters(redis)
    )


def _has_earlier_jobs(redis: Redis) -> bool:
    """Whether jobs keep their parts in fields of their own; all jobs have one layout."""
    job = _first_key(redis, "job:*")
    # Of another type, it is no job of any version.
    return job is not None and redis.type(job) == b"hash" and not redis.hexists(job, "spec")


def _has_earlier_dead_letters(redis: Redis) -> bool:
    for stream in redis.scan_iter(match="dead:*", count=SCAN_COUNT):
        oldest: Any = redis.xrange(stream, count=1)
        if oldest and b"let_go" in oldest[0][1]:
            return True
    return False


def _first_key(redis: Redis, pattern: str) -> Any:
    return next(iter(redis.scan_iter(match=pattern, count=SCAN_COUNT)), None)


def _wait_for_other_clients(redis: Redis) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while others := _other_clients(redis):
        if time.monotonic() > deadline:
            raise LayoutError(
                f"Other clients use this Redis database ({', '.join(others)}), and its data must be updated."
                " Stop all processes of the earlier version, then start again."
            )
        time.sleep(POLL_SECONDS)


def _other_clients(redis: Redis) -> list[str]:
    us: Any = redis.client_info()
    clients: Any = [*redis.client_list(_type="normal"), *redis.client_list(_type="pubsub")]
    return sorted(
        client["name"] or client["addr"]
        for client in clients
        if int(client["id"]) != int(us["id"]) and int(client["db"]) == int(us["db"])
    )
