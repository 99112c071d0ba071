"""Who may use a voice beside its owner. Apart from the form of the voice, only this changes it."""

from collections.abc import Iterable

from django.db import transaction

from yapit import invalidation
from yapit.models import Voice


@transaction.atomic
def grant(voice_ids: Iterable[int], user_ids: Iterable[int]) -> None:
    """Share these voices with these accounts, which see them while they are testers. Repeatable."""
    voices, users = sorted(voice_ids), sorted(user_ids)
    Voice.testers.through.objects.bulk_create(
        [Voice.testers.through(voice_id=voice, user_id=user) for voice in voices for user in users],
        ignore_conflicts=True,
    )
    invalidation.access_changed(*users)


@transaction.atomic
def withdraw(voice_ids: Iterable[int], user_ids: Iterable[int]) -> None:
    """Repeatable."""
    users = sorted(user_ids)
    Voice.testers.through.objects.filter(voice_id__in=list(voice_ids), user_id__in=users).delete()
    invalidation.access_changed(*users)


@transaction.atomic
def approve(voice_ids: Iterable[int]) -> None:
    """Everyone's voices are everyone's from now on, and nobody has to review these any more."""
    Voice.objects.filter(pk__in=list(voice_ids)).update(approved=True)
    invalidation.catalog_changed()
