"""Endpoints of /v1, one module for each resource."""

__all__ = [
    "account",
    "documents",
    "keys",
    "leaderboard",
    "public_documents",
    "schemas",
    "speech",
    "tickets",
    "usage",
    "usage_schemas",
]
