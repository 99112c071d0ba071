"""Admin pages of plans, balances and usage. Counters and ledger entries are read-only."""

from billing.admin import ledger, statistics, subscriptions

__all__ = ["ledger", "statistics", "subscriptions"]
