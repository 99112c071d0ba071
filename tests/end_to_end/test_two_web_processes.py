"""Cache invalidation between two web processes, daphne and uvicorn: a change through one shows in both.

Without it, caches would last for 30 seconds (voices, roles, preferences) or longer than the test (lists).
"""

import contextlib
import json
import re
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar

import psycopg
import pytest

from config.local.program import free_port
from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.slow

VOICES = "/v1/audio/voices"
PREFERENCES = "/v1/me/preferences"
INVALIDATION_SECONDS = 15  # half the lifetime of caches; usually milliseconds
SETUP = """
import json
from django.contrib.auth.models import User
from tests.yapit.factories import make_model, make_user, make_voice
from yapit.accounts import keys
from yapit.models import Profile

User.objects.create_superuser("operator", password="correct horse")
model = make_model("test-model")
user, owner = make_user("listener"), make_user("owner")
voices = {slug: make_voice(slug, model=model, **fields).pk for slug, fields in {
    "shared": {"owner": owner, "approved": False},
    "waiting": {"approved": False},
}.items()}
print(json.dumps({"user": user.pk, "key": keys.create_key(user, "laptop").token, **voices}))
"""


class Web:
    request, get = Stack.request, Stack.get

    def __init__(self, stack, server):
        self.name, self.port, self.metrics = f"web-{server}", free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = ["run_web", "--server", server, "--port", str(self.port)]
        stack.start(self.name, *command, METRICS_PORT=str(self.metrics))

    def is_healthy(self):
        with contextlib.suppress(OSError):
            return self.get("/health")[0] == 200

    def count(self, metric, cache):
        url = f"http://127.0.0.1:{self.metrics}/metrics"
        with urllib.request.urlopen(url, timeout=PROCESS_PATIENCE) as response:
            match = re.search(rf'^yapit_{metric}{{cache="{cache}"}} (\S+)', response.read().decode(), re.M)
        return float(match[1]) if match else 0


class Operator:
    """A logged-in user of the admin site of one web process."""

    def __init__(self, web):
        self.web, self.cookies = web, CookieJar()
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.browser.open(f"{web.url}/admin/login/", timeout=PROCESS_PATIENCE).close()
        self.send("/admin/login/", username="operator", password="correct horse")

    def send(self, path, **fields):
        fields["csrfmiddlewaretoken"] = next(one.value for one in self.cookies if one.name == "csrftoken")
        form = urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(self.web.url + path, form, {"Origin": self.web.url})
        with self.browser.open(request, timeout=PROCESS_PATIENCE) as page:
            assert page.url != self.web.url + path or "action" in fields, page.read()[-3000:]

    def act(self, table, action, row, **fields):
        self.send(f"/admin/{table}/", action=action, _selected_action=row, **fields)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    stack = Stack.launch(tmp_path_factory.mktemp("stack"), MULTI_USER="1", RESPONSE_SECONDS="600")
    yield stack
    stack.close()


@pytest.fixture(scope="module")
def created(stack):
    return json.loads(stack.manage("shell", "-v0", "-c", SETUP))


@contextlib.contextmanager
def started(stack):
    both = [Web(stack, server) for server in ("daphne", "uvicorn")]
    for web in both:
        wait_until(web.is_healthy, PROCESS_PATIENCE)
    yield both
    for web in both:
        stack.stop(web.name)


@pytest.fixture(scope="module")
def webs(stack, created):
    with started(stack) as both:
        yield both


@pytest.fixture(scope="module")
def operator(webs):
    return Operator(webs[0])


def names(web, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {voice["id"] for voice in web.get(VOICES, **headers)[1]["data"]}


def wait_for_both(webs, predicate):
    for web in webs:
        wait_until(lambda web=web: predicate(web), INVALIDATION_SECONDS)


# --- Shared lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shared", "expected"), [("1", 1), ("0", 2)])
def test_500_requests_build_a_list_once_for_both_processes_if_responses_are_shared(
    stack, created, shared, expected
):
    """The second case is the control."""
    stack.env["SHARED_RESPONSES"] = shared
    with stack.redis as redis:
        redis.flushall()
    with started(stack) as webs, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: webs[number % 2].get("/v1/models")[0], range(500)))

        assert set(answers) == {200}
        assert sum(web.count("cache_rebuilds_total", "discovery") for web in webs) == expected
    stack.env["SHARED_RESPONSES"] = "1"


def test_a_change_is_in_the_lists_of_both_processes_at_once(webs, operator, created):
    tags = [web.get(VOICES)[2]["etag"] for web in webs]
    assert all("waiting" not in names(web) for web in webs)
    assert tags[0] == tags[1]
    before = [web.count("cache_invalidations_total", "discovery") for web in webs]

    operator.act("yapit/voice", "approve", created["waiting"])

    wait_for_both(webs, lambda web: "waiting" in names(web))
    for web, tag, invalidations in zip(webs, tags, before, strict=True):
        assert web.get(VOICES, **{"If-None-Match": tag})[0] == 200
        assert web.count("cache_invalidations_total", "discovery") > invalidations


# --- Permissions and preferences of one account -----------------------------------------------------------


def test_granted_and_withdrawn_permissions_show_in_both_processes_at_once(webs, operator, created):
    def may_use(web):
        return "shared" in names(web, created["key"])

    steps = [
        ("yapit/voice", "grant", created["shared"], {"accounts": "listener"}, False),  # not a tester yet
        ("auth/user", "add_testers", created["user"], {}, True),
        ("yapit/voice", "withdraw", created["shared"], {"accounts": "listener"}, False),
        ("yapit/voice", "grant", created["shared"], {"accounts": "listener"}, True),
        ("auth/user", "remove_testers", created["user"], {}, False),
    ]
    assert not any(map(may_use, webs))
    for table, action, row, fields, expected in steps:
        operator.act(table, action, row, **fields)

        wait_for_both(webs, lambda web, expected=expected: may_use(web) is expected)


def test_preferences_changed_through_one_process_are_read_through_the_other_at_once(webs, created):
    one, other = webs
    key = {"Authorization": f"Bearer {created['key']}"}
    assert other.get(PREFERENCES, **key)[1]["usage_threshold"] == 80

    assert one.request("PATCH", PREFERENCES, {"usage_threshold": 50}, key)[0] == 200

    assert one.get(PREFERENCES, **key)[1]["usage_threshold"] == 50
    wait_until(lambda: other.get(PREFERENCES, **key)[1]["usage_threshold"] == 50, INVALIDATION_SECONDS)


def test_a_change_without_notification_shows_after_the_next_subscription(stack, webs, created):
    """Until then both use their caches, which is the control."""
    assert all("owned" not in names(web, created["key"]) for web in webs)
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE yapit_voice SET slug = 'owned', owner_id = %s WHERE slug = 'shared'", [created["user"]]
        )
    assert all("owned" not in names(web, created["key"]) for web in webs)

    with stack.redis as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    wait_for_both(webs, lambda web: "owned" in names(web, created["key"]))
