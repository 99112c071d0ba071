"""Looking at what was spent, and setting what may be. Counters and ledger are for looking only."""

from billing.admin import ledger, statistics, subscriptions

__all__ = ["ledger", "statistics", "subscriptions"]
