"""A results consumer that takes over from a silent one after a second: a test cannot wait for thirty."""

from config import streams
from yapit.results import ResultConsumer


def results(number: str) -> None:
    streams.CLAIM_IDLE_MS = 1000
    ResultConsumer(number=int(number)).run(streams.StopFlag().listen())
