"""Settings with an hour between comparisons: faster changes are those of messages."""

from config.settings import *  # noqa: F403

EPOCH_CHECK_SECONDS = IDENTITY_SECONDS = 3600.0
