"""A results consumer that takes over from a silent one after a second: a test cannot wait for thirty."""

from config.streams import consumer
from yapit.jobs.results import ResultConsumer


def results(number: str) -> None:
    consumer.CLAIM_IDLE_MS = 1000
    ResultConsumer(number=int(number)).run(consumer.StopFlag().listen())
