"""Audio goes to the SQLite aliases and nothing else does."""

from typing import Any

from django.conf import settings
from django.db.models import Model


class AudioRouter:
    """Names no database to read or write: every query of this app names its own."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db in settings.AUDIO_ALIASES) == (app_label == "audiocache")

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool | None:
        """No relation leads in or out; other applications decide about theirs."""
        apps = {obj1._meta.app_label, obj2._meta.app_label}
        return None if "audiocache" not in apps else len(apps) == 1
