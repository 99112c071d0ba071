"""The command that runs the billing consumer."""

from typing import Any

from redis import Redis

from billing.usage.consumer import BillingHandler
from config import checks
from config.streams import StreamCommand


class Command(StreamCommand):
    help = "Charge the usage events of finished jobs. Run exactly one."

    def handle(self, *args: object, **options: Any) -> None:
        checks.require("BILLING_BATCH_HOOKS")
        super().handle(*args, **options)

    def make_handler(self, redis: Redis) -> BillingHandler:
        return BillingHandler()
