"""Log-in throttle: attempts to guess a password, counted in Redis for all forms and API routes that take one.

Counted by the name that is tried, whether or not such an account exists, and by the address. Addresses of
private networks are not counted: they belong to proxies more often than to single machines.
"""

import hashlib
import ipaddress
from collections.abc import Iterator

from django.conf import settings

from config.redis import clients as redis_clients
from config.redis.scripts import ScriptCall, run
from yapit import redis_keys
from yapit.limits.account_limits import TAKE

ADDRESS_PER_SECOND = 1.0  # attempts that an address regains


def take(username: str, address: str) -> float:
    """Count an attempt, before its outcome is known. Returns 0, or the seconds to wait. Raises RedisError."""
    with redis_clients.sync() as redis:
        taken: list[ScriptCall] = []
        for take_one, give_one_back in _calls(username, address):
            if wait := int(run(redis, take_one)):
                for undo in taken:
                    run(redis, undo)
                return wait / 1000
            taken.append(give_one_back)
    return 0.0


def give_back(username: str, address: str) -> None:
    """Uncount an attempt whose password was right."""
    with redis_clients.sync() as redis:
        for _, give_one_back in _calls(username, address):
            run(redis, give_one_back)


def _calls(username: str, address: str) -> Iterator[tuple[ScriptCall, ScriptCall]]:
    """For each bucket, the call that takes an attempt and the one that gives it back."""
    name = hashlib.sha256(username.casefold().encode("utf-8", "surrogatepass")).hexdigest()
    yield _pair(
        redis_keys.login_name_bucket(name), settings.LOGIN_ATTEMPTS, 1 / settings.LOGIN_ATTEMPT_SECONDS
    )
    if _is_public(address):
        yield _pair(
            redis_keys.login_address_bucket(address), settings.LOGIN_ATTEMPTS_PER_ADDRESS, ADDRESS_PER_SECOND
        )


def _pair(bucket: str, capacity: int, per_second: float) -> tuple[ScriptCall, ScriptCall]:
    take_one, give_one_back = (TAKE.call(capacity, per_second, n, keys=[bucket]) for n in (1, -1))
    return take_one, give_one_back


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
