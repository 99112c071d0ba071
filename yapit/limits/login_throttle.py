"""Guesses at passwords: counted in Redis, for all processes and all doors that take one.

Counted for the name that is tried, whether or not there is such an account, and for the address that tries
many. Addresses of private networks are proxies more often than people, and tell nobody apart: not counted.
"""

import hashlib
import ipaddress
from collections.abc import Iterator

from django.conf import settings

from config.redis import clients as redis_clients
from config.redis.scripts import Call, run
from yapit.limits.account_limits import TAKE

ADDRESS_PER_SECOND = 1.0  # guesses that an address gets back


def take(username: str, address: str) -> float:
    """Count an attempt, before it is known how it ends. Seconds to wait; 0: go on. Raises RedisError."""
    with redis_clients.sync() as redis:
        taken: list[Call] = []
        for call, back in _calls(username, address):
            if wait := int(run(redis, call)):
                for undo in taken:
                    run(redis, undo)
                return wait / 1000
            taken.append(back)
    return 0.0


def give_back(username: str, address: str) -> None:
    """It was the right password: that is no guess."""
    with redis_clients.sync() as redis:
        for _, back in _calls(username, address):
            run(redis, back)


def _calls(username: str, address: str) -> Iterator[tuple[Call, Call]]:
    """What takes one attempt, and what gives it back."""
    name = hashlib.sha256(username.casefold().encode("utf-8", "surrogatepass")).hexdigest()
    yield _pair(f"limit:logins:name:{name}", settings.LOGIN_ATTEMPTS, 1 / settings.LOGIN_ATTEMPT_SECONDS)
    if _is_of_one(address):
        yield _pair(
            f"limit:logins:address:{address}", settings.LOGIN_ATTEMPTS_PER_ADDRESS, ADDRESS_PER_SECOND
        )


def _pair(bucket: str, capacity: int, per_second: float) -> tuple[Call, Call]:
    one, back = (TAKE.call(capacity, per_second, n, keys=[bucket]) for n in (1, -1))
    return one, back


def _is_of_one(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
