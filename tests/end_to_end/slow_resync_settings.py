"""Settings with an hour between revalidations: faster changes are those of notifications."""

from config.settings import *  # noqa: F403

IDENTITY_SECONDS = 3600.0
