"""Admin page of caches: statistics and clearing."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from config import caching
from config.caching.figures import figures
from config.database.offload import offload
from tests.waiting import async_wait_until
from tests.yapit.factories import make_user, make_voice
from tests.yapit.web import http_clients
from yapit.catalog import resolution, voices

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/admin/yapit/cache/"


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def operator():
    return client_of(User.objects.create_superuser("operator"))


def of(name):
    return next(row for row in figures() if row.name == name)


def test_every_cache_is_shown(operator):
    page = operator.get(PATH).content.decode()

    for name in (
        "discovery",
        "leaderboard",
        "public-documents",
        "voices",
        "roles",
        "preferences",
        "identities",
    ):
        assert f'value="{name}"' in page


def test_hits_misses_and_rebuilds_are_counted():
    caching.flush_all()
    user = make_user()
    make_voice("aria")
    before = of("voices")

    for _ in range(3):
        resolution.resolve(None, "aria", user.pk)

    after = of("voices")
    assert (after.misses - before.misses, after.hits - before.hits) == (2, 4)
    assert (after.rebuilds - before.rebuilds, after.entries) == (2, 2)
    assert after.rebuild_ms > 0
    assert 0 < after.hit_percent < 100
    assert 0 < after.bytes < after.max_bytes


async def test_clearing_empties_the_cache(redis, operator):
    await caching.listen().subscribed()
    await offload(make_voice, "aria")
    for name, fill in {"voices": lambda: voices.alist_voices(None), "discovery": list_models}.items():
        await fill()
        assert of(name).entries == 1

        answer = await offload(operator.post, PATH, {"name": name})

        assert answer.status_code == 302
        await async_wait_until(lambda name=name: of(name).entries == 0)


async def list_models():
    await http_clients.Client().get("/v1/models")


def test_clearing_requires_the_change_permission(redis):
    viewer = make_user(is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_cache"))

    assert b"Clear</button>" not in client_of(viewer).get(PATH).content
    assert client_of(viewer).post(PATH, {"name": "voices"}).status_code == 403
    assert client_of(make_user(is_staff=True)).get(PATH).status_code == 403


def test_an_unknown_cache_is_refused(operator):
    assert operator.post(PATH, {"name": "nope"}).status_code == 400


def test_an_unreachable_redis_shows_an_error(operator, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert b"cannot be reached" in operator.post(PATH, {"name": "voices"}, follow=True).content
