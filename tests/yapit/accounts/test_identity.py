"""Identity of a request: keys, sessions, the local account of single-user mode, and origin checks."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.cached_db import SessionStore
from django.db import OperationalError
from django.test import RequestFactory
from django.utils import timezone

from config.database.offload import offload
from tests.waiting import async_wait_until
from tests.yapit.factories import make_user
from yapit.accounts import authentication, identity, keys
from yapit.accounts.identity import identify_request, identify_scope
from yapit.errors import AuthenticationUnavailable, NotAuthenticated, OriginRefused
from yapit.models import ApiKey

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "http://localhost:8000"


@pytest.fixture(autouse=True)
async def _empty_caches():
    identity.forget()
    yield
    await identity.key_uses_recorded()


@pytest.fixture
def multi_user(settings):
    settings.MULTI_USER = True


@pytest.fixture
async def made():
    user = await offload(make_user)
    return await offload(keys.create_key, user, "laptop")


@pytest.fixture
async def local():
    return await offload(make_user, "local")


def http(method="GET", scheme="http", **headers):
    return scope("http", headers, method=method, scheme=scheme)


def socket(scheme="ws", subprotocols=(), **headers):
    return scope("websocket", headers, scheme=scheme, subprotocols=list(subprotocols))


def scope(kind, headers, **more):
    headers = {"host": "localhost:8000"} | headers
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items() if value]
    return {"type": kind, "headers": pairs} | more


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def refusal(error, scope):
    """The code of the error with which a connection is refused."""
    with pytest.raises(error) as caught:
        await identify_scope(scope)
    return caught.value.code


def log_in(user):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return {"cookie": f"theme=dark; sessionid={session.session_key}"}


# --- Keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connection", [http, socket])
async def test_a_key_identifies_its_account(made, connection):
    owner = await identify_scope(connection(**bearer(made.token)))

    assert (owner.user_id, owner.api_key_id, owner.via) == (made.key.user_id, made.key.pk, "key")


async def test_a_socket_may_offer_the_key_as_a_subprotocol(made):
    offered = ["yapit.v1", f"yapit.key.{made.token}"]

    assert (await identify_scope(socket(subprotocols=offered))).api_key_id == made.key.pk


async def test_a_key_needs_no_allowed_host_and_no_own_origin(made):
    foreign = {"host": "evil.example", "origin": "https://evil.example"}

    assert (await identify_scope(http("POST", **bearer(made.token), **foreign))).via == "key"


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer nope", "Bearer yk_a1b2c3d4e5f6_" + "0" * 48, "yk_x"]
)
async def test_an_invalid_key_is_refused_even_with_a_valid_session(multi_user, header):
    cookie = await offload(lambda: log_in(make_user()))

    assert await refusal(NotAuthenticated, http(authorization=header, **cookie)) == "invalid_api_key"


async def test_an_invalid_key_is_refused_in_single_user_mode(local):
    assert await refusal(NotAuthenticated, http(**bearer("nope"))) == "invalid_api_key"


async def test_two_different_keys_at_once_are_refused(made):
    request = http(**bearer(made.token))
    request["headers"].append((b"Authorization", b"Bearer other"))

    assert await refusal(NotAuthenticated, request) == "conflicting_headers"


async def test_basic_authentication_of_a_proxy_is_ignored(local):
    assert (await identify_scope(http(authorization="Basic dTpw"))).via == "local"


async def test_an_identity_is_cached(made, monkeypatch):
    first = await identify_scope(http(**bearer(made.token)))
    monkeypatch.setattr(authentication, "find_key", None)

    assert await identify_scope(http(**bearer(made.token))) is first


async def test_a_refusal_is_cached(made, monkeypatch):
    wrong = f"yk_{made.key.pk}_{'0' * 48}"
    await refusal(NotAuthenticated, http(**bearer(wrong)))
    monkeypatch.setattr(authentication, "find_key", None)

    await refusal(NotAuthenticated, http(**bearer(wrong)))


async def test_a_revoked_key_is_refused_once_the_caches_are_cleared(made):
    await identify_scope(http(**bearer(made.token)))
    await offload(keys.revoke, made.key)

    identity.forget()

    await refusal(NotAuthenticated, http(**bearer(made.token)))


async def test_a_key_is_not_cached_past_its_expiry(settings):
    soon = timezone.now() + timedelta(seconds=2)
    made = await offload(lambda: keys.create_key(make_user(), "x", expires_at=soon))
    await identify_scope(http(**bearer(made.token)))

    async def is_refused():
        try:
            await identify_scope(http(**bearer(made.token)))
        except NotAuthenticated:
            return True
        return False

    await async_wait_until(is_refused, timeout=settings.IDENTITY_SECONDS / 2)
    assert timezone.now() >= soon


async def test_the_last_use_is_recorded_at_most_once_a_minute(made, monkeypatch):
    await identify_scope(http(**bearer(made.token)))
    await identity.key_uses_recorded()
    first = await offload(lambda: ApiKey.objects.get().last_used)
    monkeypatch.setattr(authentication, "record_use", None)

    identity.forget()
    await identify_scope(http(**bearer(made.token)))
    await identity.key_uses_recorded()

    assert first is not None
    assert first == await offload(lambda: ApiKey.objects.get().last_used)


async def test_without_the_database_no_credentials_can_be_checked(made, monkeypatch):
    def fail(token):
        raise OperationalError("gone")

    monkeypatch.setattr(authentication, "find_key", fail)

    assert await refusal(AuthenticationUnavailable, http(**bearer(made.token))) == "cannot_check"


# --- Sessions ---------------------------------------------------------------------------------------------


async def test_a_session_identifies_its_account(multi_user):
    user = await offload(make_user)

    owner = await identify_scope(http(**await offload(log_in, user)))

    assert (owner.user_id, owner.api_key_id, owner.via) == (user.pk, None, "session")


@pytest.mark.parametrize("cookie", ["", "sessionid=", "sessionid=nope", "sessionid=\0", ";;;=,"])
async def test_without_a_valid_session_a_request_is_refused(multi_user, cookie):
    await refusal(NotAuthenticated, http(cookie=cookie))


async def test_changing_the_password_ends_a_session(multi_user):
    user = await offload(make_user)
    cookie = await offload(log_in, user)

    user.set_password("another")
    await offload(user.save)

    await refusal(NotAuthenticated, http(**cookie))


async def test_an_inactive_account_has_no_session(multi_user):
    cookie = await offload(lambda: log_in(make_user(is_active=False)))

    await refusal(NotAuthenticated, http(**cookie))


async def test_a_session_opens_sockets_from_our_own_pages_only(multi_user):
    cookie = await offload(lambda: log_in(make_user()))

    assert (await identify_scope(socket(origin=OWN, **cookie))).via == "session"
    await refusal(OriginRefused, socket(**cookie))
    await refusal(OriginRefused, socket(origin="https://evil.example", **cookie))


# --- The local account ------------------------------------------------------------------------------------


async def test_in_single_user_mode_every_request_is_the_local_account(local):
    assert await identify_scope(http()) == identity.Identity(local.pk, "local", None, "local")


async def test_in_single_user_mode_the_administrators_session_is_ignored(local):
    cookie = await offload(lambda: log_in(make_user("admin")))

    assert (await identify_scope(http(**cookie))).username == "local"


async def test_in_single_user_mode_the_local_account_must_exist():
    await refusal(NotAuthenticated, http())


async def test_in_multi_user_mode_the_local_account_is_not_used(local, multi_user):
    assert await refusal(NotAuthenticated, http()) == "missing_credentials"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "local host", "a\0", "127.0.0.1@x"]
)
async def test_an_unknown_host_is_refused(local, host):
    assert await refusal(OriginRefused, http(host=host)) == "origin_refused"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
async def test_allowed_hosts_are_served_on_any_port(local, host):
    assert (await identify_scope(http(host=host))).via == "local"


async def test_a_page_of_another_site_cannot_read(local):
    await refusal(OriginRefused, http(sec_fetch_site="cross-site"))
    await refusal(OriginRefused, http(origin="https://evil.example"))


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
async def test_unsafe_methods_require_our_own_origin(local, method):
    assert (await identify_scope(http(method, origin=OWN))).via == "local"
    await refusal(OriginRefused, http(method))


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://localhost",
        "http://localhost:8001",
        "https://localhost:8000",
        "http://127.0.0.1:8000",
        "http://localhost:8000.evil.example",
        "http://localhost:8000@evil.example",
        "http://localhost:8000/",
        "http://localhost:99999",
        "localhost:8000",
        "http://[",
    ],
)
async def test_origins_are_compared_by_scheme_host_and_port(local, origin):
    await refusal(OriginRefused, http("POST", origin=origin))
    await refusal(OriginRefused, socket(origin=origin))


async def test_default_ports_may_be_explicit(local):
    assert await identify_scope(http("POST", host="localhost:80", origin="http://localhost"))
    assert await identify_scope(socket("wss", host="localhost", origin="https://localhost:443"))


async def test_the_operator_may_trust_more_origins(local, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://read.example", "https://*.pages.example:8443"]

    assert await identify_scope(http("POST", origin="https://read.example"))
    assert await identify_scope(http("POST", origin="https://a.pages.example:8443"))
    await refusal(OriginRefused, http("POST", origin="https://pages.example:8443"))
    await refusal(OriginRefused, http("POST", origin="http://read.example"))


# --- Django requests --------------------------------------------------------------------------------------


async def test_a_django_request_is_identified_in_the_same_way(made, local):
    request = RequestFactory(headers=bearer(made.token)).get("/v1/me")
    assert (await identify_request(request)).via == "key"

    request = RequestFactory(headers={"host": "localhost"}).get("/v1/me")
    assert (await identify_request(request)).via == "local"

    request = SimpleNamespace(scope=http(**bearer(made.token)))
    assert (await identify_request(request)).via == "key"
