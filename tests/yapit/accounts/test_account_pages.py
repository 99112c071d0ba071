"""The pages for log-in, account and keys: what they let in, how they end log-ins and bound guesses."""

import threading

import pytest
from django.test import Client
from redis.exceptions import ConnectionError as Away

from config import caching
from config.database.offload import offload
from tests.yapit.factories import make_user
from tests.yapit.sockets.socket_client import PAGE, Listener
from yapit.accounts import identity
from yapit.limits import login_throttle
from yapit.realtime import notifications

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse"
NEXT = "battery staple 9"


@pytest.fixture(autouse=True)
def _several_people(settings, redis):
    settings.MULTI_USER = True
    identity.forget()


@pytest.fixture
def ann():
    return make_user("ann")


def logged_in(user):
    browser = Client()
    browser.force_login(user)
    return browser


def log_in(password=PASSWORD, username="ann", address="127.0.0.1", door="/login/"):
    return Client(REMOTE_ADDR=address).post(door, {"username": username, "password": password})


def change_password(browser, old=PASSWORD, new=NEXT):
    fields = {"old_password": old, "new_password1": new, "new_password2": new}
    return browser.post("/account/", fields)


# --- Guesses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["/login/", "/admin/login/"])
def test_after_too_many_guesses_even_the_right_password_has_to_wait(ann, settings, door):
    settings.LOGIN_ATTEMPTS = 2
    for guess in ("one", "two"):
        assert log_in(guess).status_code == 200

    answer = log_in(door=door)

    assert "Too many attempts. Try again in " in answer.content.decode()
    if door == "/login/":
        assert (answer.status_code, 0 < int(answer["Retry-After"]) <= 30) == (429, True)


def test_a_name_that_nobody_has_is_bounded_in_the_same_way(settings):
    settings.LOGIN_ATTEMPTS = 1

    assert [log_in(username=name).status_code for name in ("nobody", "NOBODY")] == [200, 429]


def test_right_passwords_are_not_counted(ann, settings):
    settings.LOGIN_ATTEMPTS = 1

    assert [log_in().status_code for _ in range(3)] == [302, 302, 302]


def test_one_address_cannot_try_many_names(settings, monkeypatch, ann):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 1
    monkeypatch.setattr(login_throttle, "ADDRESS_PER_SECOND", 0.001)  # however slow this machine is
    guesses = [log_in(username=name, address="8.8.4.4").status_code for name in ("one", "two")]

    assert guesses == [200, 429]
    assert log_in(address="8.8.8.8").status_code == 302


def test_of_many_guesses_at_once_no_more_than_allowed_are_looked_at(settings):
    """The bucket is one script: between a look and a count apart, all of them would pass."""
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


def test_what_is_counted_ends_by_itself_and_names_nobody(redis):
    login_throttle.take("ann", "8.8.8.8")
    login_throttle.give_back("ben", "8.8.8.8")

    assert {redis.ttl(name) > 0 for name in redis.keys("*")} == {True}
    assert not redis.keys("*ann*")


def test_while_guesses_cannot_be_counted_nobody_logs_in(ann, monkeypatch):
    def away(*_):
        raise Away

    monkeypatch.setattr(login_throttle, "take", away)

    assert "cannot be checked right now" in log_in().content.decode()


def test_odd_names_and_addresses_are_counted_like_others():
    for odd in ("", "\ud800", "a\0b", "x" * 100_000):
        assert login_throttle.take(odd, odd) == 0


# --- The password -----------------------------------------------------------------------------------------


def test_a_changed_password_ends_the_other_sessions_and_not_this_one(ann):
    here, there = logged_in(ann), logged_in(ann)

    assert change_password(here).status_code == 302

    assert here.get("/account/?changed").status_code == 200
    assert there.get("/account/").status_code == 302
    assert (log_in().status_code, log_in(NEXT).status_code) == (200, 302)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("guess", NEXT, "old password was entered incorrectly"),
        (PASSWORD, "short", "too short"),
        (PASSWORD, "password", "too common"),
    ],
)
def test_a_password_that_does_not_do_is_said(ann, old, new, part):
    assert part in change_password(logged_in(ann), old, new).content.decode()


def test_guessing_the_old_password_has_to_wait(ann, settings):
    settings.LOGIN_ATTEMPTS = 1
    browser = logged_in(ann)
    change_password(browser, "guess")

    assert change_password(browser).status_code == 429


async def test_a_changed_password_closes_the_sockets_of_ended_sessions_and_calls_ours_back(settings):
    settings.IDENTITY_SECONDS = 3600
    ann = await offload(make_user, "ann")
    here, there = await offload(lambda: (logged_in(ann), logged_in(ann)))
    ours, theirs = await opened(here), await opened(there)

    await offload(change_password, here)

    assert (await ours.close_code(), await theirs.close_code()) == (1012, 4401)
    again = await opened(here)
    await again.close()
    await notifications.hub().close()


async def opened(browser):
    cookie = f"sessionid={browser.cookies['sessionid'].value}".encode()
    one = Listener(headers=[*PAGE, (b"cookie", cookie)])
    await one.connect()
    await one.send(type="hello")
    assert (await one.frame())["type"] == "error"
    await caching.listen().subscribed()
    return one


# --- The pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account/", "/keys/"])
def test_strangers_are_sent_to_the_door(path):
    answer = Client().get(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/login/?next={path}")


@pytest.mark.parametrize("path", ["/account/", "/keys/"])
def test_the_pages_carry_the_policy_and_are_not_kept(ann, path):
    answer = logged_in(ann).get(path)

    assert answer["Content-Security-Policy"].startswith("default-src 'self'")
    assert "no-store" in answer["Cache-Control"]
    assert b"<script>" not in answer.content


def test_the_password_is_not_changed_by_another_site(ann):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)

    assert change_password(browser).status_code == 403


def test_one_person_alone_has_keys_and_no_password(settings):
    settings.MULTI_USER = False

    assert Client().get("/account/")["Location"] == "/keys/"
    assert Client().get("/keys/").status_code == 200
