"""Seeding: the initial rows of a new installation."""

__all__ = [
    "seed",
]
