"""Protection against other sites: origin checks, host names, security headers, sessions, proxies."""

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
from yapit.web.decorators import CONTENT_SECURITY_POLICY

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
def _empty_caches(redis):
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
async def test_a_foreign_origin_is_refused_despite_a_session(multi_user, method, path):
    user = await offload(make_user)

    for page in ({"origin": EVIL}, {"origin": "null"}, {}, {"referer": f"{EVIL}/"}):
        client = Client(**page)
        await offload(client.force_login, user)
        assert error_of(await client.send(method, filled(path), {})) == (403, "origin_refused")


@pytest.mark.parametrize("path", ["/login/", "/logout/", "/account/", "/admin/auth/user/add/"])
def test_forms_require_a_csrf_token(multi_user, path):
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("operator"))

    assert log_in(browser, path=path).status_code == 403


@pytest.mark.parametrize("path", [*PAGES, "/d/00000000-0000-0000-0000-000000000000", "/v1/audio/voices"])
async def test_an_unknown_host_name_is_refused(path):
    """DNS rebinding: a foreign name that resolves to this machine would make its pages same-origin."""
    await offload(make_user, "local")

    status, _ = await through_asgi(path, host="evil.example")

    assert status in ((200,) if path == "/v1/docs" else (400, 403))  # the description of the API is public


async def test_an_unknown_host_name_gets_no_audio():
    await offload(make_user, "local")

    assert (await through_asgi(f"/v1/audio/{'0' * 64}", host="evil.example"))[0] == 403
    assert (await through_asgi(f"/v1/audio/{'0' * 64}"))[0] == 404


# --- Security headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/nope", "/v1/nope", "/health"])
def test_every_response_has_security_headers(multi_user, path):
    headers = Browser().get(path).headers

    assert headers["Content-Security-Policy"] in (POLICY, CONTENT_SECURITY_POLICY)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("policy", [POLICY, CONTENT_SECURITY_POLICY])
def test_no_policy_allows_inline_scripts(policy):
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    assert rules.get("script-src", rules["default-src"]) == "'self'"
    assert (rules["object-src"], rules["base-uri"], rules["frame-ancestors"]) == ("'none'",) * 3


def test_no_page_contains_inline_scripts(ann):
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


def test_titles_are_escaped():
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
    "target",
    [EVIL, "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)"],
)
@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_log_in_redirects_only_within_this_site(multi_user, ann, path, target):
    User.objects.update(is_staff=True)
    browser = Browser()

    for answer in (log_in(browser, path=path, next=target), browser.get(path, {"next": target})):
        assert answer.status_code == 302
        assert re.match(r"/(?![/\\])", answer["Location"])
    assert re.match(r"/(?![/\\])", browser.post("/logout/", {"next": target})["Location"])


def test_log_in_changes_the_session_key(multi_user, ann):
    fixated = Browser()
    fixated.session.save()
    cookie = fixated.cookies["sessionid"].value
    victim = Browser()
    victim.cookies["sessionid"] = cookie

    log_in(victim)

    assert victim.cookies["sessionid"].value != cookie
    assert victim.get("/account/").status_code == 200
    assert fixated.get("/account/").status_code == 302


def test_the_session_cookie_is_httponly_and_samesite(multi_user, ann):
    browser = Browser()
    log_in(browser)

    cookie = browser.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


class Exploit:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_cached_sessions_are_not_unpickled(multi_user, ann, tmp_path):
    browser = Browser()
    log_in(browser)
    redis = get_redis_connection()
    [key] = redis.keys("*cached_db*")
    redis.set(key, pickle.dumps(Exploit(tmp_path / "executed")))

    assert browser.get("/account/").status_code == 200
    assert not list(tmp_path.iterdir())


# --- Behind a proxy ---------------------------------------------------------------------------------------


async def test_behind_tls_the_origin_must_be_https(settings):
    await offload(make_user, "local")

    async def change(origin):
        return (await through_asgi("/v1/me/preferences", "PATCH", [b"{}"], origin=origin))[0]

    assert (await change("http://localhost"), await change("https://localhost")) == (200, 403)
    settings.HTTPS = True
    assert (await change("http://localhost"), await change("https://localhost")) == (403, 200)


async def test_a_root_path_from_the_request_changes_no_url(multi_user):
    _, page = await through_asgi("/login/", root_path="//evil.example")

    assert b"evil.example" not in page
    assert b'href="/static/' in page
