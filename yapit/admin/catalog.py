"""Models and voices: what is offered, under which name and at what price."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from yapit import changes
from yapit.admin.common import SavesWhatWasEdited, TellsOfChanges
from yapit.models import TTSModel, Voice


@admin.register(TTSModel)
class TTSModelAdmin(TellsOfChanges, SavesWhatWasEdited):
    list_display = ["slug", "name", "usage_type", "usage_multiplier_bp", "is_active", "revision"]
    list_filter = ["is_active", "usage_type"]
    search_fields = ["slug", "name"]
    # The slug names queues and is part of hashes, as are the two that seeding keeps up to date.
    readonly_fields = ["slug", "revision", "codec", "created"]

    def tell(self, *ids: Any) -> None:
        changes.catalog_changed()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # models come with their engine, by `manage.py seed`


@admin.register(Voice)
class VoiceAdmin(TellsOfChanges, SavesWhatWasEdited):
    list_display = ["slug", "name", "model", "language", "gender", "owner", "approved", "is_active"]
    list_filter = ["approved", "is_active", "model", ("owner", admin.EmptyFieldListFilter)]
    list_select_related = ["model", "owner"]
    search_fields = ["slug", "name", "=language", "=owner__username"]
    raw_id_fields = ["owner", "testers"]

    def tell(self, *ids: Any) -> None:
        changes.catalog_changed()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("slug", "model") if obj else ()
