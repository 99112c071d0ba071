"""A results consumer that claims entries of a silent one after one second instead of thirty."""

from config.redis import clients as redis_clients
from config.streams import StopFlag, StreamConsumer, consumer
from yapit.jobs.results import ResultHandler


def results(number: str) -> None:
    consumer.CLAIM_IDLE_MS = 1000
    redis = redis_clients.sync()
    StreamConsumer(ResultHandler(redis), redis, number=int(number)).run(StopFlag().listen())
