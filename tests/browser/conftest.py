"""The real stack with the tone engine, one Chromium, and a page for each test."""

import re
import secrets
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page

from config.local.program import free_port
from tests.browser.browser import Reader, launched
from tests.stack import Stack
from tests.waiting import PATIENCE, PROCESS_PATIENCE, wait_until

ENABLE_TONE = "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"
SENTENCE = "This is passage number {} of {}, and it is long enough to be played for a good while."


def long_text() -> str:
    """25 unique blocks: blocks of an earlier test would be served from the cache."""
    name = secrets.token_hex(4)
    return "# A long text\n\n" + "\n\n".join(SENTENCE.format(n, name) for n in range(1, 25))


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    stack = Stack.launch(tmp_path_factory.mktemp("stack"))
    try:
        stack.manage("shell", "-v0", "-c", ENABLE_TONE)
        stack.start_all("tone")
        yield stack
    finally:
        stack.close()


@pytest.fixture
def page(browser) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 820})
    yield context.new_page()
    context.close()


@pytest.fixture
def document(stack):
    stack.request("PATCH", "/v1/me/preferences", {"default_speed": 1, "default_voice": "sine"})
    return stack.make_document(long_text(), title="A long text")


@pytest.fixture
def reader(stack, page, document):
    """The page with a document of its own; fails the test on uncaught page errors."""
    reader = Reader(page).open(f"{stack.url}/d/{document['id']}")
    yield reader
    assert reader.errors == []


@pytest.fixture(scope="module")
def address(stack):
    """URL of a web process of the same stack in multi-user mode."""
    port = free_port()
    stack.start("web-multi", "run_web", "--port", str(port), MULTI_USER="1")
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: is_up(url), PROCESS_PATIENCE)
    yield url
    stack.stop("web-multi")


def is_up(address):
    try:
        return urllib.request.urlopen(f"{address}/health", timeout=PATIENCE).status == 200
    except OSError:
        return False


@pytest.fixture
def password(stack):
    """Password of the account `admin` made by seeding."""
    return re.search(r"admin password: (\S+)", stack.credentials.read_text())[1]
