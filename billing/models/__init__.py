"""Models of billing: plans, subscriptions, usage periods, the ledger and sums of it."""

from billing.models.ledger import PARTS, LedgerEntry
from billing.models.periods import UsagePeriod
from billing.models.plans import Plan, Subscription, default_limit
from billing.models.sums import UsageDay, VoiceMonth

__all__ = [
    "PARTS",
    "LedgerEntry",
    "Plan",
    "Subscription",
    "UsageDay",
    "UsagePeriod",
    "VoiceMonth",
    "default_limit",
]
