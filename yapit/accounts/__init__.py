"""Accounts: authentication, identities, API keys, tickets, sessions, roles and preferences."""

__all__ = [
    "authentication",
    "forms",
    "identity",
    "keys",
    "origins",
    "preferences",
    "request_credentials",
    "roles",
    "sessions",
    "tickets",
]
