"""Voice resolution: the voices of an account, defaults, errors and caching."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.database.offload import offload
from tests.yapit.factories import make_model, make_user, make_voice
from yapit.accounts import roles
from yapit.catalog import resolution, voices
from yapit.errors import UnknownModel, UnknownVoice

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_caches():
    resolution.forget()


def slugs(user=None):
    """The voices of an account, or the public ones."""
    if user is None:
        return {voice.slug for voice in voices.read_public_voices()}
    return {slug for part in voices.slices(user.pk) for slug in part.by_slug}


def test_a_resolved_voice_has_all_that_a_job_needs():
    model = make_model(
        "bell", revision="r7", codec="opus-32", usage_multiplier_bp=15_000, usage_type="premium"
    )
    make_voice("aria", model=model, parameters={"pitch": 2})

    assert resolution.resolve("bell", "aria", make_user().pk) == resolution.SpokenAs(
        "bell", "aria", {"pitch": 2}, "r7", "opus-32", 15_000, "premium"
    )


def test_a_voice_without_a_model_resolves_to_its_model():
    make_voice("aria", model=make_model("bell"))

    assert resolution.resolve(None, "aria", make_user().pk).model_slug == "bell"


def test_a_model_without_a_voice_resolves_to_its_first_voice():
    model = make_model("bell")
    make_voice("first", model=model)
    make_voice("second", model=model)

    assert resolution.resolve("bell", None, make_user().pk).voice_slug == "first"


def test_without_names_the_default_model_is_used(settings):
    settings.DEFAULT_MODEL = "bell"
    make_voice("other")
    make_voice("aria", model=make_model("bell"))

    assert resolution.resolve(None, None, make_user().pk).voice_slug == "aria"


@pytest.mark.parametrize(
    ("model", "voice", "error"),
    [
        ("nope", None, UnknownModel),
        ("nope", "aria", UnknownModel),
        ("no\0pe", "aria", UnknownModel),
        ("bell", "nope", UnknownVoice),
        ("bell", "other", UnknownVoice),
        (None, "a\0", UnknownVoice),
        ("silent", "aria", UnknownModel),
        ("empty", None, UnknownVoice),
    ],
)
def test_the_error_names_the_unknown_part(model, voice, error):
    make_voice("aria", model=make_model("bell"))
    make_voice("other", model=make_model("chime"))
    make_voice("quiet", model=make_model("silent", is_active=False))
    make_model("empty")

    with pytest.raises(error):
        resolution.resolve(model, voice, make_user().pk)


def test_every_account_may_use_the_approved_voices_without_owner():
    make_voice("aria")
    make_voice("unapproved", approved=False)
    make_voice("retired", is_active=False)
    make_voice("owned", owner=make_user())

    assert slugs() == slugs(make_user()) == {"aria"}


def test_an_account_may_use_its_own_voices_approved_or_not():
    user = make_user()
    make_voice("mine", owner=user, approved=False)

    assert slugs(user) == {"mine"}


def test_a_tester_may_use_the_voices_shared_with_that_tester():
    tester, other = make_user(tester=True), make_user(tester=True)
    make_voice("shared", owner=make_user(), approved=False).testers.add(tester)

    assert slugs(tester) == {"shared"}
    assert slugs(other) == set()


def test_a_former_tester_may_not_use_shared_voices():
    former = make_user(tester=True)
    make_voice("shared", owner=make_user()).testers.add(former)
    assert slugs(former) == {"shared"}

    former.profile.is_tester = False
    former.profile.save(update_fields=["is_tester"])
    roles.forget()

    assert slugs(former) == set()


def test_a_reviewer_may_use_voices_that_wait_for_approval():
    make_voice("waiting", owner=make_user(), approved=False)
    make_voice("private", owner=make_user())

    assert slugs(make_user(reviewer=True)) == {"waiting"}


def test_voices_are_cached_by_account():
    user = make_user()
    make_voice("mine", owner=user)
    resolution.resolve(None, "mine", user.pk)

    with CaptureQueriesContext(connection) as queries:
        resolution.resolve(None, "mine", user.pk)
    assert len(queries) == 0
    with pytest.raises(UnknownVoice):
        resolution.resolve(None, "mine", make_user().pk)


@pytest.mark.django_db(transaction=True)
async def test_cached_voices_are_resolved_without_leaving_the_event_loop():
    user, voice = await make("aria")

    assert resolution.resolve_cached(None, voice, user) is None
    first = await resolution.aresolve(None, voice, user)

    assert first.voice_slug == "aria"
    assert (
        await resolution.aresolve(None, voice, user) == first == resolution.resolve_cached(None, voice, user)
    )


def test_callers_do_not_share_parameters():
    user = make_user()
    make_voice("aria", parameters={"pitch": {"low": 2}})
    first = resolution.resolve(None, "aria", user.pk)

    first.parameters["pitch"]["low"] = 3

    assert resolution.resolve(None, "aria", user.pk).parameters == {"pitch": {"low": 2}}


async def make(slug):
    user = await offload(make_user)
    voice = await offload(make_voice, slug)
    return user.pk, voice.slug
