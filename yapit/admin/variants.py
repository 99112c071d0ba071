"""Admin of block variants: search by hash, model or voice; location of the audio; player."""

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

from audiocache import aliases
from audiocache.errors import StoreUnavailable
from audiocache.store import store_for
from config.admin import LargeTableAdmin, ReadOnlyAdmin
from config.redis import clients as redis_clients
from config.redis import keys
from yapit.models import BlockVariant, TTSModel, Voice

HASH_PREFIX = re.compile(r"[0-9a-f]{4,64}")


def audio_locations(hashes: Sequence[str]) -> dict[str, str]:
    """Location of each hash: hot (Redis), cold (the store), nowhere or unknown. Two round trips for all."""
    try:
        with redis_clients.sync() as client, client.pipeline(transaction=False) as pipeline:
            for hash_hex in hashes:
                pipeline.exists(keys.audio(hash_hex))
            hot = dict(zip(hashes, pipeline.execute(), strict=True))
        cold = store_for(aliases.AUDIO).exists_many(list(hashes))
    except (RedisError, StoreUnavailable):
        return dict.fromkeys(hashes, "unknown")
    return {each: "hot" if hot[each] else "cold" if each in cold else "nowhere" for each in hashes}


def _search_condition(term: str) -> Q:
    """A condition on one column if possible: each has an index in the order of the list, an OR has none."""
    if TTSModel.objects.filter(slug=term).exists():
        return Q(model=term)
    if Voice.objects.filter(slug=term).exists():
        return Q(voice=term)
    if HASH_PREFIX.fullmatch(term):
        return Q(hash__startswith=term)
    return Q(model=term) | Q(voice=term)  # a model or voice that is no longer in the catalog


class VariantList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        locations = audio_locations([variant.pk for variant in self.result_list])
        for variant in self.result_list:
            variant.location = locations[variant.pk]


class CatalogFilter(admin.SimpleListFilter):
    """A filter with choices from the catalog: finding those in use would read the whole table."""

    source: type[TTSModel] | type[Voice]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        slugs = self.source.objects.order_by("slug").values_list("slug", flat=True)
        return [(slug, slug) for slug in slugs[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name or "": self.value()}) if self.value() else queryset


class CatalogModelFilter(CatalogFilter):
    title = parameter_name = "model"
    source = TTSModel


class CatalogVoiceFilter(CatalogFilter):
    title = parameter_name = "voice"
    source = Voice


@admin.register(BlockVariant)
class BlockVariantAdmin(LargeTableAdmin, ReadOnlyAdmin):
    list_display = ["hash", "model", "voice", "characters", "duration", "audio", "created"]
    list_filter = [CatalogModelFilter, CatalogVoiceFilter]
    search_fields = ["hash"]
    search_help_text = "Hash or its first digits (at least four), model, or voice"
    fields = ("hash", "model", "voice", "characters", "duration", "created", "audio", "player")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return VariantList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[BlockVariant], search_term: str
    ) -> tuple[QuerySet[BlockVariant], bool]:
        term = search_term.strip().lower()
        if not term:
            return queryset, False
        return queryset.filter(_search_condition(term)), False

    @admin.display
    def duration(self, variant: BlockVariant) -> str:
        return f"{variant.duration_ms / 1000:.1f} s"

    @admin.display
    def audio(self, variant: BlockVariant) -> str:
        location = getattr(variant, "location", None)
        return location or audio_locations([variant.hash])[variant.hash]

    @admin.display
    def player(self, variant: BlockVariant) -> SafeString:
        return format_html('<audio controls preload="none" src="/v1/audio/{}"></audio>', variant.hash)
