"""Pages for log-in, account and keys: access, limits on attempts, and the end of sessions."""

import threading

import pytest
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from config import caching
from config.database.offload import offload
from tests.yapit.factories import make_user
from tests.yapit.sockets.socket_client import PAGE, Listener
from yapit.accounts import identity
from yapit.limits import login_throttle
from yapit.realtime import notifications

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse"
NEW_PASSWORD = "battery staple 9"


@pytest.fixture(autouse=True)
def _multi_user(settings, redis):
    settings.MULTI_USER = True
    identity.forget()


@pytest.fixture
def ann():
    return make_user("ann")


def logged_in_browser(user):
    browser = Client()
    browser.force_login(user)
    return browser


def log_in(password=PASSWORD, username="ann", address="127.0.0.1", path="/login/"):
    return Client(REMOTE_ADDR=address).post(path, {"username": username, "password": password})


def change_password(browser, old=PASSWORD, new=NEW_PASSWORD):
    fields = {"old_password": old, "new_password1": new, "new_password2": new}
    return browser.post("/account/", fields)


# --- Limits on attempts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_after_too_many_attempts_even_the_right_password_is_refused(ann, settings, path):
    settings.LOGIN_ATTEMPTS = 2
    for guess in ("one", "two"):
        assert log_in(guess).status_code == 200

    answer = log_in(path=path)

    assert "Too many attempts. Try again in " in answer.content.decode()
    if path == "/login/":
        assert (answer.status_code, 0 < int(answer["Retry-After"]) <= 30) == (429, True)


def test_attempts_are_limited_for_unknown_names_too(settings):
    settings.LOGIN_ATTEMPTS = 1

    assert [log_in(username=name).status_code for name in ("nobody", "NOBODY")] == [200, 429]


def test_right_passwords_are_not_counted(ann, settings):
    settings.LOGIN_ATTEMPTS = 1

    assert [log_in().status_code for _ in range(3)] == [302, 302, 302]


def test_attempts_are_limited_by_address(settings, monkeypatch, ann):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 1
    monkeypatch.setattr(login_throttle, "ADDRESS_PER_SECOND", 0.001)  # no refill on a slow machine
    guesses = [log_in(username=name, address="8.8.4.4").status_code for name in ("one", "two")]

    assert guesses == [200, 429]
    assert log_in(address="8.8.8.8").status_code == 302


def test_concurrent_attempts_do_not_exceed_the_limit(settings):
    """The bucket is one script: with a separate read and write all attempts would pass."""
    settings.LOGIN_ATTEMPTS = 3
    waits = []

    def guess():
        waits.append(login_throttle.take("ann", ""))

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(waits), waits.count(0.0)) == (20, 3)


def test_counts_expire_and_contain_no_names(redis):
    login_throttle.take("ann", "8.8.8.8")
    login_throttle.give_back("ben", "8.8.8.8")

    assert {redis.ttl(name) > 0 for name in redis.keys("*")} == {True}
    assert not redis.keys("*ann*")


def test_no_log_in_is_possible_while_attempts_cannot_be_counted(ann, monkeypatch):
    def fail(*_):
        raise RedisConnectionError

    monkeypatch.setattr(login_throttle, "take", fail)

    assert "cannot be checked right now" in log_in().content.decode()


def test_unusual_names_and_addresses_are_counted():
    for odd in ("", "\ud800", "a\0b", "x" * 100_000):
        assert login_throttle.take(odd, odd) == 0


# --- The password -----------------------------------------------------------------------------------------


def test_a_changed_password_ends_the_other_sessions_and_not_this_one(ann):
    here, there = logged_in_browser(ann), logged_in_browser(ann)

    assert change_password(here).status_code == 302

    assert here.get("/account/?changed").status_code == 200
    assert there.get("/account/").status_code == 302
    assert (log_in().status_code, log_in(NEW_PASSWORD).status_code) == (200, 302)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("guess", NEW_PASSWORD, "old password was entered incorrectly"),
        (PASSWORD, "short", "too short"),
        (PASSWORD, "password", "too common"),
    ],
)
def test_an_unsuitable_password_is_refused_with_the_reason(ann, old, new, part):
    assert part in change_password(logged_in_browser(ann), old, new).content.decode()


def test_attempts_at_the_old_password_are_limited(ann, settings):
    settings.LOGIN_ATTEMPTS = 1
    browser = logged_in_browser(ann)
    change_password(browser, "guess")

    assert change_password(browser).status_code == 429


async def test_a_changed_password_closes_other_sessions_sockets_and_reconnects_its_own(settings):
    settings.IDENTITY_SECONDS = 3600
    ann = await offload(make_user, "ann")
    here, there = await offload(lambda: (logged_in_browser(ann), logged_in_browser(ann)))
    ours, theirs = await opened(here), await opened(there)

    await offload(change_password, here)

    assert (await ours.close_code(), await theirs.close_code()) == (1012, 4401)
    again = await opened(here)
    await again.close()
    await notifications.hub().close()


async def opened(browser):
    """An accepted socket with the browser's session."""
    cookie = f"sessionid={browser.cookies['sessionid'].value}".encode()
    socket = Listener(headers=[*PAGE, (b"cookie", cookie)])
    await socket.connect()
    await socket.send(type="hello")
    assert (await socket.frame())["type"] == "error"
    await caching.listen().subscribed()
    return socket


# --- The pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account/", "/keys/"])
def test_pages_redirect_to_the_log_in(path):
    answer = Client().get(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/login/?next={path}")


@pytest.mark.parametrize("path", ["/account/", "/keys/"])
def test_pages_have_the_security_policy_and_are_not_cached(ann, path):
    answer = logged_in_browser(ann).get(path)

    assert answer["Content-Security-Policy"].startswith("default-src 'self'")
    assert "no-store" in answer["Cache-Control"]
    assert b"<script>" not in answer.content


def test_another_site_cannot_change_the_password(ann):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)

    assert change_password(browser).status_code == 403


def test_single_user_mode_has_keys_and_no_password(settings):
    settings.MULTI_USER = False

    assert Client().get("/account/")["Location"] == "/keys/"
    assert Client().get("/keys/").status_code == 200
