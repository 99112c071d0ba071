"""Voice access: sharing voices with testers, and approval. The admin's form of a voice changes both, too."""

from collections.abc import Iterable

from django.db import transaction

from yapit import invalidation
from yapit.models import Voice


@transaction.atomic
def grant(voice_ids: Iterable[int], user_ids: Iterable[int]) -> None:
    """Share each voice with each account, which can use it while it is a tester. Repeatable."""
    voices, users = sorted(voice_ids), sorted(user_ids)
    Voice.testers.through.objects.bulk_create(
        [Voice.testers.through(voice_id=voice, user_id=user) for voice in voices for user in users],
        ignore_conflicts=True,
    )
    invalidation.access_changed(*users)


@transaction.atomic
def withdraw(voice_ids: Iterable[int], user_ids: Iterable[int]) -> None:
    """Stop sharing each voice with each account. Repeatable."""
    users = sorted(user_ids)
    Voice.testers.through.objects.filter(voice_id__in=list(voice_ids), user_id__in=users).delete()
    invalidation.access_changed(*users)


@transaction.atomic
def approve(voice_ids: Iterable[int]) -> None:
    """Approve the voices: those without an owner become public, and none needs a review. Repeatable."""
    Voice.objects.filter(pk__in=list(voice_ids)).update(approved=True)
    invalidation.catalog_changed()
