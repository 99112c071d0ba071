"""Models of billing: plans, subscriptions, balances, usage periods, the ledger and sums of it."""

from billing.models.balances import Balance
from billing.models.ledger import PARTS, EntryKind, LedgerEntry
from billing.models.periods import UsagePeriod
from billing.models.plans import Plan, Subscription, default_limit
from billing.models.sums import UsageDay, VoiceMonth

__all__ = [
    "PARTS",
    "Balance",
    "EntryKind",
    "LedgerEntry",
    "Plan",
    "Subscription",
    "UsageDay",
    "UsagePeriod",
    "VoiceMonth",
    "default_limit",
]
