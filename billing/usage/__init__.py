"""Charging of usage: from entries of the billing stream to the ledger and its sums.

Imports nothing, since `events` is used where Django is not.
"""

__all__ = ["backlog", "checks", "consumer", "events", "ledger", "locks", "recording"]
