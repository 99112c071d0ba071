"""The order that loses things: the drill's control. The product's work, one command after another.

Results: pop, delete what is in flight, notify, bill, persist. Billing and persister: let go, then do it.
Without kills it is as right as the real one.
"""

from collections.abc import Sequence
from typing import Any

from django.core.management import call_command

from audiocache.management.commands import run_persister
from audiocache.persister import PersistConsumer
from billing.management.commands.run_billing import BillingConsumer
from config.streams.consumer import Entry, StopFlag
from yapit.jobs.results import Result, ResultConsumer

COPIED = (
    "multiplier_bp",
    "cost",
    "usage_type",
    "billable",
    "hash",
    "model",
    "voice",
    "document",
    "duration_ms",
)


class NaiveResults(ResultConsumer):
    def settle(self, entries: Sequence[Entry[Result]]) -> None:
        for entry in entries:
            self.redis.xack(entry.stream, self.group, entry.id)
            self.redis.xdel(entry.stream, entry.id)
            raw: Any = self.redis.hgetall(f"job:{entry.event.job_id}")
            if raw:
                job = {name.decode(): value for name, value in raw.items()}
                self._finish(entry.event, job)

    def _finish(self, result: Result, job: dict[str, bytes]) -> None:
        redis, hash_ = self.redis, job["hash"].decode()
        members: Any = redis.smembers(f"subs:{hash_}")
        redis.delete(f"job:{result.job_id}", f"inflight:{hash_}", f"subs:{hash_}")
        redis.zrem(f"queue:{job['model'].decode()}:{job['owner'].decode()}", result.job_id)
        status = result.outcome + result.detail
        if result.outcome != "c":
            redis.set(f"outcome:{hash_}", status, ex=60)
            self._ring(hash_, members, status)
            self._owe(job)
            return
        redis.rename(f"res:{result.job_id}", f"audio:{hash_}")
        seconds, micros = redis.time()
        at_ms = seconds * 1000 + micros // 1000
        redis.zadd("finished", {result.job_id: at_ms})
        self._ring(hash_, members, "c")
        event = {name: job[name] for name in COPIED}
        event |= {"id": result.job_id, "user": job["user"], "chars": job["chars"]}
        redis.xadd("billing", {**event, "created_ms": at_ms})
        size = redis.strlen(f"audio:{hash_}")
        redis.incrby("unpersisted", size)
        redis.xadd("persist", {"hash": hash_, "size": size, "job": b""})

    def _ring(self, hash_: str, members: set[bytes], status: str) -> None:
        for process in {member.rsplit(b":", 1)[1].split(b".")[0] for member in members}:
            self.redis.publish(b"bell:" + process, hash_ + status)

    def _owe(self, job: dict[str, bytes]) -> None:
        due = f"reserved:{job['user'].decode()}"
        if self.redis.hincrby(due, job["usage_type"].decode(), -int(job["cost"])) <= 0:
            self.redis.hdel(due, job["usage_type"].decode())


class NaiveBilling(BillingConsumer):
    def handle(self, events: Sequence[Any]) -> None:
        super().settle(self.held)
        super().handle(events)

    def settle(self, entries: Sequence[Any]) -> None:
        """Done already: that is the mistake."""


class NaivePersister(PersistConsumer):
    def handle(self, events: Sequence[Any]) -> None:
        super().settle(self.held)
        super().handle(events)

    def settle(self, entries: Sequence[Any]) -> None:
        """Done already: that is the mistake."""


class NaivePersisterCommand(run_persister.Command):
    def make_consumer(self, number: int) -> NaivePersister:
        return NaivePersister(self.stores, number=number)


def results(number: str) -> None:
    NaiveResults(number=int(number)).run(StopFlag().listen())


def billing() -> None:
    NaiveBilling().run(StopFlag().listen())


def persister() -> None:
    call_command(NaivePersisterCommand())
