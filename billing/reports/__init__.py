"""Reports on usage: the month of one account, and ledger entries as CSV."""

__all__ = ["account_usage", "ledger_csv"]
