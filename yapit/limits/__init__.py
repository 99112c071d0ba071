"""What one account may do at once: token buckets, places for connections, and the log-in throttle."""

from yapit.limits.account_limits import (
    KEEP_SECONDS,
    PLACE_SECONDS,
    TAKE,
    enter,
    leave,
    message_bucket,
    take_message,
)

__all__ = ["KEEP_SECONDS", "PLACE_SECONDS", "TAKE", "enter", "leave", "message_bucket", "take_message"]
