"""What Redis answers, or fails to, while something passes by itself: whoever meets it waits, and goes on."""

from redis import exceptions as redis_errors

OUTAGES: tuple[type[Exception], ...] = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.OutOfMemoryError,
    redis_errors.ReadOnlyError,  # a replica takes over
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
)
# The disk is full; another's script takes long; too few replicas. redis-py has no class for them.
PASSING = ("MISCONF ", "BUSY ", "NOREPLICAS ")


def is_transient(error: BaseException) -> bool:
    if isinstance(error, redis_errors.ResponseError) and str(error).startswith(PASSING):
        return True
    return isinstance(error, OUTAGES)
