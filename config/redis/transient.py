"""Transient errors of Redis and PostgreSQL: callers back off and retry."""

from django.db import InterfaceError, OperationalError
from redis import exceptions as redis_errors

TRANSIENT: tuple[type[Exception], ...] = (
    OperationalError,
    InterfaceError,
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.OutOfMemoryError,
    redis_errors.ReadOnlyError,  # a failover is under way
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
)
# Any failure of a call, for callers that can do without Redis. TimeoutError is an OSError.
FAILURES: tuple[type[Exception], ...] = (redis_errors.RedisError, OSError)
# A full disk, a long script of another client, too few replicas: redis-py has no classes for these.
TRANSIENT_REPLIES = ("MISCONF ", "BUSY ", "NOREPLICAS ")


def is_transient(error: BaseException) -> bool:
    if isinstance(error, redis_errors.ResponseError) and str(error).startswith(TRANSIENT_REPLIES):
        return True
    return isinstance(error, TRANSIENT)
