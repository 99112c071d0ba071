"""The command that runs a results consumer."""

from redis import Redis

from config.streams import StreamCommand
from yapit.jobs.results import ResultHandler


class Command(StreamCommand):
    help = (
        "Finalize the results of workers: publish their audio and end their jobs. Several processes may run;"
        " give each a --number."
    )

    def make_handler(self, redis: Redis) -> ResultHandler:
        return ResultHandler(redis)
