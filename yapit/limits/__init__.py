"""Limits: token buckets and connection slots of one account, and the log-in throttle, in Redis."""

from yapit.limits.account_limits import (
    RENEW_SLOT_SECONDS,
    SLOT_SECONDS,
    TAKE,
    acquire_slot,
    release_slot,
    take_message,
)

__all__ = [
    "RENEW_SLOT_SECONDS",
    "SLOT_SECONDS",
    "TAKE",
    "acquire_slot",
    "login_throttle",
    "lua",
    "release_slot",
    "take_message",
]
