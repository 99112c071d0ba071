"""The real stack with the tone engine, one Chromium, and a page of it for each test."""

import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.browser import Reader, launched
from tests.stack import Stack

SWITCH_TONE_ON = (
    "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"
)
SENTENCE = "This is passage number {} of {}, and it is long enough to be heard for a good while."


def text_for_the_ear() -> str:
    """25 blocks that nobody has ever heard: what was spoken once would come from the cache."""
    name = secrets.token_hex(4)
    return "# A text for the ear\n\n" + "\n\n".join(SENTENCE.format(n, name) for n in range(1, 25))


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
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
        stack.manage("shell", "-v0", "-c", SWITCH_TONE_ON)
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
    return stack.make_document(text_for_the_ear(), title="A text for the ear")


@pytest.fixture
def reader(stack, page, document):
    """The page, open on a document of its own; nothing in it may have gone wrong at the end."""
    reader = Reader(page).open(f"{stack.url}/d/{document['id']}")
    yield reader
    assert reader.faults == []
