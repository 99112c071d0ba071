"""Limits and balances of accounts: allowance, changes, and the renewal of periods."""

__all__ = ["allowance", "balances", "renewal"]
