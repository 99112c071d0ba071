"""A results consumer that takes over from a silent one after a second: a test cannot wait for thirty."""

from config.redis import clients as redis_clients
from config.streams import StopFlag, StreamConsumer, consumer
from yapit.jobs.results import ResultHandler


def results(number: str) -> None:
    consumer.CLAIM_IDLE_MS = 1000
    redis = redis_clients.sync()
    StreamConsumer(ResultHandler(redis), redis, number=int(number)).run(StopFlag().listen())
