"""What was spoken: found by hash, model or voice, with where its audio is now, and a player."""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from redis.exceptions import RedisError

from audiocache.errors import StoreUnavailable
from audiocache.store import store_for
from config.admin import LargeTableAdmin, ReadOnlyAdmin
from config.redis import clients as redis_clients
from config.redis import keys
from yapit.models import BlockVariant, TTSModel, Voice

HASH_BEGINS = re.compile(r"[0-9a-f]{4,64}")


def whereabouts(hashes: Sequence[str]) -> dict[str, str]:
    """hot (Redis), cold (SQLite), nowhere, or unknown: for all of a page in two round trips."""
    try:
        with redis_clients.sync() as client, client.pipeline(transaction=False) as pipeline:
            for hash_hex in hashes:
                pipeline.exists(keys.audio(hash_hex))
            hot = dict(zip(hashes, pipeline.execute(), strict=True))
        cold = store_for("audio").exists_many(list(hashes))
    except (RedisError, StoreUnavailable):
        return dict.fromkeys(hashes, "unknown")
    return {each: "hot" if hot[each] else "cold" if each in cold else "nowhere" for each in hashes}


def _meant_by(term: str) -> Q:
    """One column where that can be told: each has an index in the order of the list, and "or" has none."""
    if TTSModel.objects.filter(slug=term).exists():
        return Q(model=term)
    if Voice.objects.filter(slug=term).exists():
        return Q(voice=term)
    if HASH_BEGINS.fullmatch(term):
        return Q(hash__startswith=term)
    return Q(model=term) | Q(voice=term)  # of which the catalog knows nothing any longer


class VariantList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        places = whereabouts([variant.pk for variant in self.result_list])
        for variant in self.result_list:
            variant.place = places[variant.pk]


class SlugFilter(admin.SimpleListFilter):
    """Choices from the catalog: looking for those that occur would read every row."""

    source: type[TTSModel] | type[Voice]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        slugs = self.source.objects.order_by("slug").values_list("slug", flat=True)
        return [(slug, slug) for slug in slugs[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name or "": self.value()}) if self.value() else queryset


class ModelFilter(SlugFilter):
    title = parameter_name = "model"
    source = TTSModel


class VoiceFilter(SlugFilter):
    title = parameter_name = "voice"
    source = Voice


@admin.register(BlockVariant)
class BlockVariantAdmin(LargeTableAdmin, ReadOnlyAdmin):
    list_display = ["hash", "model", "voice", "characters", "duration", "audio", "created"]
    list_filter = [ModelFilter, VoiceFilter]
    search_fields = ["hash"]
    search_help_text = "A hash or how it begins (four digits or more), a model, or a voice"
    fields = ("hash", "model", "voice", "characters", "duration", "created", "audio", "player")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return VariantList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[BlockVariant], search_term: str
    ) -> tuple[QuerySet[BlockVariant], bool]:
        term = search_term.strip().lower()
        if not term:
            return queryset, False
        return queryset.filter(_meant_by(term)), False

    @admin.display
    def duration(self, variant: BlockVariant) -> str:
        return f"{variant.duration_ms / 1000:.1f} s"

    @admin.display
    def audio(self, variant: BlockVariant) -> str:
        place = getattr(variant, "place", None)
        return place or whereabouts([variant.hash])[variant.hash]

    @admin.display
    def player(self, variant: BlockVariant) -> SafeString:
        return format_html('<audio controls preload="none" src="/v1/audio/{}"></audio>', variant.hash)
