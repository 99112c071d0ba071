"""Open sockets close when their key, session or account ends: at once by an event, soon without one."""

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from config import caching
from config.database.offload import offload
from tests.waiting import async_wait_until
from tests.yapit.factories import make_user
from tests.yapit.sockets.socket_client import PAGE, Listener
from yapit import limits
from yapit.accounts import identity, keys
from yapit.models import ApiKey
from yapit.realtime import notifications

pytestmark = pytest.mark.django_db(transaction=True)

GREETING = {"type": "hello"}  # every open socket replies with an error


@pytest.fixture(autouse=True)
async def _empty_caches(async_redis):
    identity.forget()


@pytest.fixture
def events_only(settings):
    """Regular checks are too rare to close a socket during a test."""
    settings.IDENTITY_SECONDS = 3600


@pytest.fixture
def frequent_checks(settings):
    """For changes in the database that publish no event."""
    settings.IDENTITY_SECONDS = settings.RESYNC_SECONDS = 0.1


@pytest.fixture
async def user():
    return await offload(make_user, "ann")


@pytest.fixture
async def made(user):
    return await offload(keys.create_key, user, "laptop")


def with_key(made):
    return [(b"authorization", f"Bearer {made.token}".encode())]


def with_session(browser):
    return [*PAGE, (b"cookie", f"sessionid={browser.cookies['sessionid'].value}".encode())]


@pytest.fixture
async def log_in(user, settings):
    """Returns a function that makes a logged-in browser."""
    settings.MULTI_USER = True

    def begin():
        browser = Client()
        browser.force_login(user)
        return browser

    return sync_to_async(begin)


async def opened(headers):
    """An accepted socket."""
    socket = Listener(headers=headers)
    await socket.connect()
    assert await is_open(socket)
    await caching.listen().subscribed()
    return socket


async def is_open(socket):
    await socket.send(**GREETING)
    return (await socket.frame())["code"] == "unknown_type"


@pytest.fixture(autouse=True)
async def _close_hub(_empty_caches):
    yield
    await notifications.hub().close()


# --- By an event ------------------------------------------------------------------------------------------


async def test_logging_out_closes_only_the_sockets_of_that_session(events_only, log_in):
    here, there = await log_in(), await log_in()
    one, other = await opened(with_session(here)), await opened(with_session(there))

    await sync_to_async(here.post)("/logout/")

    assert await one.close_code() == 4401
    assert await is_open(other)
    await other.close()


async def test_deleting_an_account_closes_its_sockets(events_only, user, made):
    operator = Client()
    await sync_to_async(lambda: operator.force_login(User.objects.create_superuser("operator")))()
    one = await opened(with_key(made))

    await sync_to_async(operator.post)(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})

    assert await one.close_code() == 4401


async def test_a_key_revoked_while_its_socket_connects_closes_the_socket(events_only, made, monkeypatch):
    """The revocation comes after authentication and before the hub knows the socket."""
    await caching.listen().subscribed()
    enter = limits.acquire_slot

    async def revoked_meanwhile(*args):
        before = identity.changes_seen()
        await offload(keys.revoke, made.key)
        await async_wait_until(lambda: identity.changes_seen() > before)
        return await enter(*args)

    monkeypatch.setattr(limits, "acquire_slot", revoked_meanwhile)
    one = Listener(headers=with_key(made))
    await one.connect()

    assert await one.close_code() == 4401


# --- Without an event -------------------------------------------------------------------------------------


def revoke(made):
    ApiKey.objects.update(revoked_at=timezone.now())


def expire(made):
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def delete(made):
    User.objects.all().delete()


@pytest.mark.parametrize("end", [revoke, expire, delete])
async def test_without_an_event_the_sockets_of_an_invalid_key_close_too(frequent_checks, made, end):
    one = await opened(with_key(made))

    await offload(end, made)

    assert await one.close_code() == 4401


async def test_the_sockets_of_an_expired_session_close(frequent_checks, log_in):
    browser = await log_in()

    @sync_to_async
    def expire_soon():
        session = browser.session
        session.set_expiry(2)
        session.save()

    one = await opened(with_session(browser))
    await expire_soon()

    assert await one.close_code() == 4401


async def test_without_regular_checks_a_lost_event_would_leave_the_socket_open(events_only, made):
    """The control of the test above."""
    one = await opened(with_key(made))

    await offload(revoke, made)

    assert await is_open(one)
    assert await one.is_quiet()
    await one.close()
