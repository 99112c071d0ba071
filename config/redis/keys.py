"""Names of Redis keys that more than one app reads or writes; each has one owner, which defines its value.

Lua scripts spell these names out. Keys of a single app are in that app's `redis_keys` module.
"""

# Owner billing.
RESERVED_COUNTED = "reserved-counted"  # a flag: `reserved:*` has been counted since Redis last lost its data
# Hash by job id: what is reserved for a job until its billing entry is charged, as
# "{account} {usage type} {amount} {id of the entry, once the job is finished}". `reserved:*` has the sums.
# Padded to 65 bytes: up to 512 fields with shorter values are kept as a list, which each access searches.
RESERVATIONS = "reservations"

# Owner config. Hash by consumer: since when its brake has stopped it, in seconds.
STOPPED_CONSUMERS = "stopped-consumers"

# Owner yapit.
FINISHED = "finished"  # sorted set: ids of finished jobs by the time of their end, in milliseconds

# Owner audiocache.
UNPERSISTED = "unpersisted"  # integer: bytes of finished audio that is not stored yet
STORAGE_FULL = "storage-full"  # a flag that expires: an audio store is far above its limit


def reserved(user_id: int) -> str:
    """Owner billing. Hash by usage type: characters that are queued or not charged yet."""
    return f"reserved:{user_id}"


def requested(user_id: int) -> str:
    """Owner billing. Hash by usage type: a total of requested characters that charging does not lower."""
    return f"requested:{user_id}"


def audio(variant_hash: str) -> str:
    """Owner audiocache. A finished blob: header and audio."""
    return f"audio:{variant_hash}"
