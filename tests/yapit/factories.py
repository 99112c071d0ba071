"""Factories of model instances for tests, with defaults for every field."""

from itertools import count

from django.contrib.auth.models import User
from django.utils import timezone

from yapit.audio import opus
from yapit.models import BlockVariant, Document, Profile, TTSModel, Voice

_numbers = count(1)


def make_user(username=None, *, tester=False, reviewer=False, **fields):
    user = User.objects.create_user(username or f"user{next(_numbers)}", password="correct horse", **fields)
    if tester or reviewer:
        Profile.objects.create(user=user, is_tester=tester, is_reviewer=reviewer)
    return user


def make_model(slug=None, **fields):
    slug = slug or f"model{next(_numbers)}"
    return TTSModel.objects.create(
        **{"slug": slug, "name": slug.title(), "revision": "1", "codec": opus.CODEC} | fields
    )


def make_voice(slug=None, **fields):
    slug = slug or f"voice{next(_numbers)}"
    defaults = {"slug": slug, "name": slug.title(), "language": "en", "approved": True}
    return Voice.objects.create(**defaults | {"model": fields.pop("model", None) or make_model()} | fields)


def make_document(owner=None, *texts, **fields):
    """A document with these blocks, by default a single one."""
    texts = texts or ("Hello there.",)
    defaults = {
        "title": "A title",
        "source": "\n\n".join(texts),
        "block_count": len(texts),
        "characters": sum(map(len, texts)),
        "est_duration_ms": 1000,
    }
    document = Document.objects.create(owner=owner or make_user(), **defaults | fields)
    for index, text in enumerate(texts):
        document.blocks.create(index=index, text=text, characters=len(text))
    return document


def make_variant(hash_hex="a" * 64, **fields):
    defaults = {
        "model": "tone",
        "voice": "sine",
        "characters": 10,
        "duration_ms": 900,
        "created": timezone.now(),
    }
    return BlockVariant.objects.create(hash=hash_hex, **defaults | fields)
