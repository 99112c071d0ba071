"""Usage: the usage of an account and the leaderboard."""

__all__ = [
    "account_usage",
    "leaderboard",
    "leaderboard_pages",
]
