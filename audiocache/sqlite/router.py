"""The database router: the tables of audiocache belong to the audio files, and no other tables do."""

from typing import Any

from django.db.models import Model

from audiocache import aliases


class AudioRouter:
    """Restricts migrations and relations. Queries of audiocache name their alias themselves."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db in aliases.ALL) == (app_label == "audiocache")

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool | None:
        """Forbid relations between audiocache and other apps."""
        apps = {obj1._meta.app_label, obj2._meta.app_label}
        return None if "audiocache" not in apps else len(apps) == 1
