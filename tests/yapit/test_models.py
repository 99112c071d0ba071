"""Database constraints of the models."""

import pytest
from django.db import DataError, IntegrityError, transaction

from tests.yapit.factories import make_document, make_model, make_user, make_variant, make_voice
from yapit.models import ApiKey, Playback, Preferences

pytestmark = pytest.mark.django_db


def assert_refused(make, *args, **fields):
    with pytest.raises((DataError, IntegrityError)), transaction.atomic():
        make(*args, **fields)


def test_voice_slugs_are_unique_over_owners_and_models():
    make_voice("aria", owner=make_user())

    assert_refused(make_voice, "aria", owner=make_user())


@pytest.mark.parametrize("slug", ["", "Aria", "a b", "a:b", "a\n", "-a", "a/"])
def test_a_slug_is_safe_in_keys_and_urls(slug):
    model = make_model()

    with pytest.raises((DataError, IntegrityError)), transaction.atomic():
        model.voices.create(slug=slug, name="Aria", language="en")


def test_voice_parameters_are_an_object():
    assert_refused(make_voice, parameters=[1, 2])


def test_a_model_has_a_known_usage_type():
    assert_refused(make_model, usage_type="free")
    assert_refused(make_model, usage_type="ocr")  # speech is charged in characters


def test_block_indices_of_a_document_are_unique():
    document = make_document()

    assert_refused(document.blocks.create, index=0, text="Again.", characters=6)


def test_a_block_is_not_empty():
    document = make_document()

    assert_refused(document.blocks.create, index=1, text="", characters=0)


def test_an_account_has_one_position_in_a_document():
    document = make_document()
    fields = {"user": document.owner, "document": document, "block_idx": 0, "played_at": document.created}
    Playback.objects.create(**fields)

    assert_refused(Playback.objects.create, **fields)


@pytest.mark.parametrize("hash_hex", ["", "a" * 63, "A" * 64, "g" * 64])
def test_a_variant_has_a_sha256_hash(hash_hex):
    assert_refused(make_variant, hash_hex)


def test_an_api_key_is_stored_as_a_digest():
    assert_refused(ApiKey.objects.create, id="a1b2c3d4e5f6", user=make_user(), name="x", digest="yk_secret")


@pytest.mark.parametrize("wrong", [{"default_speed": 5}, {"usage_threshold": 0}, {"usage_threshold": 101}])
def test_preferences_are_in_range(wrong):
    assert_refused(Preferences.objects.create, user=make_user(), **wrong)


def test_deleting_a_user_deletes_its_documents():
    document = make_document(None, "One.", "Two.")

    document.owner.delete()

    assert not type(document).objects.exists()
