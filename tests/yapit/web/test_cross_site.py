"""What other sites can do with somebody's browser: nothing; and what browsers are told to keep it so."""

import os
import pickle
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django_redis import get_redis_connection

from config.database.offload import offload
from config.serving.security_headers import POLICY
from tests.yapit.api.test_api import OPERATIONS, error_of, filled, through_asgi
from tests.yapit.factories import make_document, make_user
from tests.yapit.web.http_clients import Client
from yapit.accounts import identity
from yapit.models import Document
from yapit.web.pages import CONTENT_SECURITY_POLICY

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse"
UNSAFE = [(method, path) for method, path in OPERATIONS if method != "GET"]
PAGES = [
    "/",
    "/login/",
    "/keys/",
    "/usage/",
    "/account/",
    "/admin/login/",
    "/v1/docs",
    "/v1/documents",
    "/v1/me",
]
EVIL = "https://evil.example"


@pytest.fixture(autouse=True)
def _nobody_remembered(redis):
    identity.forget()


@pytest.fixture
def multi_user(settings):
    settings.MULTI_USER = True


@pytest.fixture
def ann():
    return make_user("ann")


def log_in(browser, username="ann", path="/login/", **more):
    return browser.post(path, {"username": username, "password": PASSWORD, **more})


# --- Other sites ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), UNSAFE)
async def test_with_a_session_another_site_changes_nothing(multi_user, method, path):
    user = await offload(make_user)

    for page in ({"origin": EVIL}, {"origin": "null"}, {}, {"referer": f"{EVIL}/"}):
        client = Client(**page)
        await offload(client.force_login, user)
        assert error_of(await client.send(method, filled(path), {})) == (403, "origin_refused")


@pytest.mark.parametrize("path", ["/login/", "/logout/", "/account/", "/admin/auth/user/add/"])
def test_another_site_submits_no_form(multi_user, path):
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("operator"))

    assert log_in(browser, path=path).status_code == 403


@pytest.mark.parametrize("path", [*PAGES, "/d/00000000-0000-0000-0000-000000000000", "/v1/audio/voices"])
async def test_a_name_that_is_not_ours_leads_to_nothing(path):
    """Such as one of theirs that leads to this machine, which would make their page one of our origin."""
    await offload(make_user, "local")

    status, _ = await through_asgi(path, host="evil.example")

    assert status in ((200,) if path == "/v1/docs" else (400, 403))  # that description is everybody's


async def test_a_name_that_is_not_ours_leads_to_no_audio():
    await offload(make_user, "local")

    assert (await through_asgi(f"/v1/audio/{'0' * 64}", host="evil.example"))[0] == 403
    assert (await through_asgi(f"/v1/audio/{'0' * 64}"))[0] == 404


# --- What they are told -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/nope", "/v1/nope", "/health"])
def test_every_answer_says_what_browsers_may_do_with_it(multi_user, path):
    headers = Browser().get(path).headers

    assert headers["Content-Security-Policy"] in (POLICY, CONTENT_SECURITY_POLICY)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("policy", [POLICY, CONTENT_SECURITY_POLICY])
def test_no_policy_lets_a_script_stand_in_a_page(policy):
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    assert rules.get("script-src", rules["default-src"]) == "'self'"
    assert (rules["object-src"], rules["base-uri"], rules["frame-ancestors"]) == ("'none'",) * 3


def test_no_page_of_ours_needs_a_script_in_it(ann):
    make_user("local")
    browser = Browser()
    browser.force_login(User.objects.create_superuser("operator"))

    for path in (
        "/",
        "/keys/",
        "/usage/",
        "/admin/",
        "/admin/auth/user/",
        f"/admin/auth/user/{ann.pk}/change/",
    ):
        page = browser.get(path, follow=True).content.decode()
        assert re.findall(r"<script(?![^>]* src=)(?![^>]*application/json)[^>]*>|\son\w+=", page) == []


def test_titles_are_shown_as_text():
    title = "<script>alert(1)</script>"
    document = make_document(make_user("local"), title=title)
    operator = Browser()
    operator.force_login(User.objects.create_superuser("operator"))

    pages = ["/admin/yapit/document/", f"/admin/yapit/document/{document.pk}/change/", f"/d/{document.pk}"]
    for path in pages:
        assert title not in operator.get(path).content.decode()
    assert Document.objects.get().title == title


# --- Logging in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [EVIL, "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)"],
)
@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_after_logging_in_one_stays_here(multi_user, ann, path, wanted):
    User.objects.update(is_staff=True)
    browser = Browser()

    for answer in (log_in(browser, path=path, next=wanted), browser.get(path, {"next": wanted})):
        assert answer.status_code == 302
        assert re.match(r"/(?![/\\])", answer["Location"])
    assert re.match(r"/(?![/\\])", browser.post("/logout/", {"next": wanted})["Location"])


def test_a_session_that_somebody_planted_is_not_the_one_that_is_logged_in(multi_user, ann):
    planted = Browser()
    planted.session.save()
    cookie = planted.cookies["sessionid"].value
    victim = Browser()
    victim.cookies["sessionid"] = cookie

    log_in(victim)

    assert victim.cookies["sessionid"].value != cookie
    assert victim.get("/account/").status_code == 200
    assert planted.get("/account/").status_code == 302


def test_the_session_is_not_for_scripts_nor_for_other_sites(multi_user, ann):
    browser = Browser()
    log_in(browser)

    cookie = browser.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


class Exploit:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_what_somebody_leaves_in_redis_is_never_run(multi_user, ann, tmp_path):
    browser = Browser()
    log_in(browser)
    redis = get_redis_connection()
    [kept] = redis.keys("*cached_db*")
    redis.set(kept, pickle.dumps(Exploit(tmp_path / "it-ran")))

    assert browser.get("/account/").status_code == 200
    assert not list(tmp_path.iterdir())


# --- Behind a proxy ---------------------------------------------------------------------------------------


async def test_over_tls_our_own_pages_are_those_with_https(settings):
    await offload(make_user, "local")

    async def change(origin):
        return (await through_asgi("/v1/me/preferences", "PATCH", [b"{}"], origin=origin))[0]

    assert (await change("http://localhost"), await change("https://localhost")) == (200, 403)
    settings.HTTPS = True
    assert (await change("http://localhost"), await change("https://localhost")) == (403, 200)


async def test_a_prefix_that_somebody_claims_changes_no_address(multi_user):
    _, page = await through_asgi("/login/", root_path="//evil.example")

    assert b"evil.example" not in page
    assert b'href="/static/' in page
