"""The command that runs the billing consumer."""

from redis import Redis

from billing.usage.consumer import BillingHandler
from config.streams import StreamCommand


class Command(StreamCommand):
    help = "Charge the usage events of finished jobs. Run exactly one."

    def make_handler(self, redis: Redis) -> BillingHandler:
        return BillingHandler()
