"""API keys: tokens, digests, expiry and revocation."""

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from tests.yapit.factories import make_user
from yapit.accounts import keys
from yapit.accounts.identity import identify_key
from yapit.models import ApiKey

pytestmark = pytest.mark.django_db


def test_a_token_identifies_its_key_and_account():
    user = make_user()

    made = keys.create_key(user, "laptop")

    identity = identify_key(made.token)
    assert made.token.startswith(f"yk_{made.key.pk}_")
    assert (identity.user_id, identity.username) == (user.pk, user.username)
    assert (identity.api_key_id, identity.via) == (made.key.pk, "key")


def test_the_token_is_not_stored():
    made = keys.create_key(make_user(), "laptop")

    secret = made.token.rpartition("_")[2]

    assert secret not in str(ApiKey.objects.values().get())


def test_a_token_with_another_secret_is_invalid():
    made = keys.create_key(make_user(), "laptop")

    assert identify_key(f"yk_{made.key.pk}_{'0' * 48}") is None


def test_a_token_made_with_another_pepper_is_invalid(settings):
    made = keys.create_key(make_user(), "laptop")

    settings.API_KEY_PEPPER = "another"

    assert identify_key(made.token) is None


@pytest.mark.parametrize(
    "token", ["", "yk_", "x" * 5000, "yk_a_b", "yk_é_0", "yk_a1b2c3d4e5f6_" + "g" * 48, "a\0b"]
)
def test_a_malformed_token_causes_no_query(token, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert identify_key(token) is None


def test_a_revoked_key_is_invalid_and_keeps_its_time_of_revocation():
    made = keys.create_key(make_user(), "laptop")

    keys.revoke(made.key)
    at = ApiKey.objects.get().revoked_at
    keys.revoke(made.key)

    assert identify_key(made.token) is None
    assert ApiKey.objects.get().revoked_at == at


def test_an_expired_key_is_invalid():
    made = keys.create_key(make_user(), "laptop", expires_at=timezone.now() - timedelta(seconds=1))

    assert identify_key(made.token) is None


def test_the_key_of_an_inactive_account_is_invalid():
    user = make_user(is_active=False)

    assert identify_key(keys.create_key(user, "laptop").token) is None


def test_without_a_pepper_no_key_is_created(settings):
    settings.API_KEY_PEPPER = ""

    with pytest.raises(ImproperlyConfigured):
        keys.create_key(make_user(), "laptop")
