"""What ends somebody's access ends their open sockets: at once when it is told, and soon when it is not."""

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

GREETING = {"type": "hello"}  # which every open socket answers


@pytest.fixture(autouse=True)
async def _nobody_remembered(async_redis):
    identity.forget()


@pytest.fixture
def bells_only(settings):
    settings.IDENTITY_SECONDS = 3600


@pytest.fixture
def no_bells(settings):
    """The changes in these tests tell nobody."""
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
    """Returns a browser that is logged in."""
    settings.MULTI_USER = True

    def begin():
        browser = Client()
        browser.force_login(user)
        return browser

    return sync_to_async(begin)


async def opened(headers):
    """A socket that was let in."""
    one = Listener(headers=headers)
    await one.connect()
    assert await is_open(one)
    await caching.listen().subscribed()
    return one


async def is_open(one):
    await one.send(**GREETING)
    return (await one.frame())["code"] == "unknown_type"


@pytest.fixture(autouse=True)
async def _tower(_nobody_remembered):
    yield
    await notifications.hub().close()


# --- Told -------------------------------------------------------------------------------------------------


async def test_logging_out_closes_the_sockets_of_that_session_alone(bells_only, log_in):
    here, there = await log_in(), await log_in()
    one, other = await opened(with_session(here)), await opened(with_session(there))

    await sync_to_async(here.post)("/logout/")

    assert await one.close_code() == 4401
    assert await is_open(other)
    await other.close()


async def test_a_deleted_account_loses_its_sockets(bells_only, user, made):
    operator = Client()
    await sync_to_async(lambda: operator.force_login(User.objects.create_superuser("operator")))()
    one = await opened(with_key(made))

    await sync_to_async(operator.post)(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})

    assert await one.close_code() == 4401


async def test_what_is_revoked_while_its_socket_comes_in_does_not_stay(bells_only, made, monkeypatch):
    """After it was found to hold, and before anybody knows of the socket."""
    await caching.listen().subscribed()
    enter = limits.acquire_slot

    async def revoked_meanwhile(*args):
        heard = identity.changes_seen()
        await offload(keys.revoke, made.key)
        await async_wait_until(lambda: identity.changes_seen() > heard)
        return await enter(*args)

    monkeypatch.setattr(limits, "acquire_slot", revoked_meanwhile)
    one = Listener(headers=with_key(made))
    await one.connect()

    assert await one.close_code() == 4401


# --- Not told ---------------------------------------------------------------------------------------------


def revoke(made):
    ApiKey.objects.update(revoked_at=timezone.now())


def expire(made):
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def delete(made):
    User.objects.all().delete()


@pytest.mark.parametrize("end", [revoke, expire, delete])
async def test_a_key_that_ends_unheard_loses_its_sockets_all_the_same(no_bells, made, end):
    one = await opened(with_key(made))

    await offload(end, made)

    assert await one.close_code() == 4401


async def test_a_session_that_expires_loses_its_sockets(no_bells, log_in):
    browser = await log_in()

    @sync_to_async
    def expire_soon():
        session = browser.session
        session.set_expiry(2)
        session.save()

    one = await opened(with_session(browser))
    await expire_soon()

    assert await one.close_code() == 4401


async def test_without_a_second_look_a_lost_bell_would_leave_the_socket_open(bells_only, made):
    """The control of the above."""
    one = await opened(with_key(made))

    await offload(revoke, made)

    assert await is_open(one)
    assert await one.is_quiet()
    await one.close()
