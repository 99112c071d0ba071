"""Settings of processes that look again after an hour: whatever is quick was told."""

from config.settings import *  # noqa: F403

IDENTITY_SECONDS = 3600.0
