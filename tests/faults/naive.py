"""Naive consumers, the control of the drill: the work of the product as one command after another.

Results: acknowledge, delete the job, notify, bill, persist. Billing and persister: acknowledge, then handle.
Without kills they satisfy all invariants.
"""

from typing import Any

import msgspec
from django.core.management import call_command
from redis import Redis

from audiocache.management.commands import run_persister
from audiocache.persister import PersistHandler
from billing.usage.consumer import BillingHandler
from config.redis import clients as redis_clients
from config.streams import Batch, BatchResult, Handler, StopFlag, StreamConsumer
from yapit.jobs import JobSpec
from yapit.jobs.results import Result, ResultHandler

COPIED = ("user", "billable", "document")


class NaiveResults(ResultHandler):
    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.redis = redis

    def handle(self, batch: Batch[Result]) -> BatchResult[Result]:
        for entry in batch.entries:
            self.redis.xack(entry.stream, self.group, entry.id)
            self.redis.xdel(entry.stream, entry.id)
            raw: Any = self.redis.hgetall(f"job:{entry.event.job_id}")
            if raw:
                job = {name.decode(): value for name, value in raw.items()}
                self._finish(entry.event, job, JobSpec.unpack(job["spec"]))
        return BatchResult()

    def _finish(self, result: Result, job: dict[str, bytes], spec: JobSpec) -> None:
        redis, hash_ = self.redis, spec.key
        members: Any = redis.smembers(f"subs:{hash_}")
        redis.delete(f"job:{result.job_id}", f"inflight:{hash_}", f"subs:{hash_}")
        redis.zrem(f"queue:{spec.queue}:{job['owner'].decode()}", result.job_id)
        status = result.outcome + result.detail
        if result.outcome != "c":
            redis.set(f"outcome:{hash_}", status, ex=60)
            self._publish_completion(hash_, members, status)
            self._release_reservation(result.job_id)
            return
        redis.rename(f"res:{result.job_id}", f"audio:{hash_}")
        seconds, micros = redis.time()
        at_ms = seconds * 1000 + micros // 1000
        redis.zadd("finished", {result.job_id: at_ms})
        self._publish_completion(hash_, members, "c")
        fields = [*spec.fields, *msgspec.msgpack.decode(job["result"])]
        event: dict[Any, Any] = {name: job[name] for name in COPIED}
        event |= dict(zip(fields[::2], fields[1::2], strict=True))
        event |= {"id": result.job_id, "cost": spec.cost, "usage_type": spec.usage_type}
        redis.xadd("billing", {**event, "created_ms": at_ms})
        size = redis.strlen(f"audio:{hash_}")
        redis.incrby("unpersisted", size)
        redis.xadd("persist", {"hash": hash_, "alias": spec.store, "size": size, "job": b""})

    def _publish_completion(self, hash_: str, members: set[bytes], status: str) -> None:
        for process in {member.rsplit(b":", 1)[1].split(b".")[0] for member in members}:
            self.redis.publish(b"notify:" + process, hash_ + status)

    def _release_reservation(self, job_id: str) -> None:
        raw: Any = self.redis.hget("reservations", job_id)
        if raw:
            user, usage_type, amount, *_ = raw.decode().split(" ")
            if self.redis.hincrby(f"reserved:{user}", usage_type, -int(amount)) <= 0:
                self.redis.hdel(f"reserved:{user}", usage_type)
            self.redis.hdel("reservations", job_id)


class AcknowledgedFirst(Handler[Any]):
    """Acknowledges a batch before handling it, which is the error that the drill must find."""

    def handle(self, batch: Batch[Any]) -> BatchResult[Any]:
        StreamConsumer(self, redis_clients.sync()).acknowledge(batch.entries)
        super().handle(batch)
        return BatchResult()


class NaiveBilling(AcknowledgedFirst, BillingHandler):
    pass


class NaivePersister(AcknowledgedFirst, PersistHandler):
    pass


class NaivePersisterCommand(run_persister.Command):
    def make_handler(self, redis: Redis) -> NaivePersister:
        return NaivePersister(self.stores, redis)


def results(number: str) -> None:
    redis = redis_clients.sync()
    StreamConsumer(NaiveResults(redis), redis, number=int(number)).run(StopFlag().listen())


def billing() -> None:
    StreamConsumer(NaiveBilling()).run(StopFlag().listen())


def persister() -> None:
    call_command(NaivePersisterCommand())
