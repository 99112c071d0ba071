"""The brake of each consumer counts an account or a worker once."""

import pytest

from audiocache.persister import PersistHandler
from billing.usage.consumer import BillingHandler
from config.streams import Braked, StreamConsumer
from yapit.jobs.results import ResultHandler


def unreadable_uses(redis, sources):
    for user in sources:
        redis.xadd("billing", {"id": "half an entry", "user": user})
    return StreamConsumer(BillingHandler(), redis)


def unreadable_results(redis, sources):
    for worker in sources:
        redis.xadd("results", {"worker": worker})
    return StreamConsumer(ResultHandler(redis), redis)


def unreadable_audio(redis, sources):
    for user in sources:
        redis.xadd("persist", {"user": user})
    return StreamConsumer(PersistHandler({}, redis), redis)


@pytest.mark.parametrize("consumer_of", [unreadable_uses, unreadable_results, unreadable_audio])
def test_entries_of_many_accounts_or_workers_stop_a_consumer_and_those_of_one_do_not(redis, consumer_of):
    one = consumer_of(redis, ["one"] * 60)
    while one.run_once(wait=False):
        pass

    with pytest.raises(Braked):
        consumer_of(redis, range(130)).run_once(wait=False)
