"""Deletion of accounts."""

__all__ = [
    "account_deletion",
]
