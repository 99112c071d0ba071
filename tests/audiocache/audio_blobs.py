"""Audio for tests: random bytes with a header, as `Put`s and as blobs in Redis."""

import hashlib
import random
from dataclasses import dataclass

from audiocache import blob
from audiocache.orders import Kind, Order
from audiocache.records import Put

NOW = 1_800_000_000.0
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Sound:
    hash: str
    audio: bytes
    header: bytes

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.hash)

    @property
    def sum(self) -> str:
        return hashlib.sha256(self.audio).hexdigest()

    @property
    def blob(self) -> bytes:
        return self.header + self.audio

    @property
    def put(self) -> Put:
        return Put(self.key, self.header, self.audio, hashlib.sha256(self.audio).digest())


def sound(name: object = 0, size: int = 1000) -> Sound:
    audio = random.Random(str(name)).randbytes(size)
    header = blob.header_for(audio, duration_ms=1500, media_type="audio/ogg", words=[("hear", 0, 700)])
    return Sound(hashlib.sha256(str(name).encode()).hexdigest(), audio, blob.header_bytes(header))


def sounds(count: int, size: int = 1000) -> list[Sound]:
    return [sound(number, size) for number in range(count)]


def order(kind: Kind, *some: Sound, at_ms: int = int(NOW * 1000)) -> Order:
    return Order("audio", kind, [one.key for one in some], [at_ms])


def finish(redis, *some: Sound) -> None:
    """Queue audio for the persister as FINALIZE does."""
    for one in some:
        redis.set(f"audio:{one.hash}", one.blob)
        redis.incrby("unpersisted", len(one.blob))
        entry = {"hash": one.hash, "alias": "audio", "size": len(one.blob), "job": f"job {one.hash}"}
        redis.xadd("persist", entry)


def note_lost(redis, job: bytes) -> None:
    """A stand-in for the hook that queues the job of lost audio."""
    if job == b"nonsense":
        raise ValueError("no job")
    redis.rpush("lost", job)
