from config.streams.consumer import StreamCommand
from yapit.jobs.results import ResultConsumer


class Command(StreamCommand):
    help = "Turn results into audio that listeners are told of. Several may run: give each a --number."
    consumer_class = ResultConsumer
