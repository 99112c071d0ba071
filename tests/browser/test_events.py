"""Changes made elsewhere show on open pages: documents, balances, keys and ended sessions."""

import re

import pytest

from tests.browser.test_documents import row
from tests.browser.test_failures import intercept

SOCKET = "**/v1/ws/events"


def change(stack, document, **fields):
    assert stack.request("PATCH", f"/v1/documents/{document['id']}", fields)[0] == 200


@pytest.fixture
def followed(reader):
    """The reader page with watched documents."""
    frames = []
    reader.page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame)))
    )
    reader.page.reload()
    for _ in range(1500):
        if any('"watching"' in frame for frame in frames):
            break
        reader.page.wait_for_timeout(20)
    assert any('"watching"' in frame for frame in frames)
    reader.until("document.querySelectorAll('.document').length > 0")
    return reader


def test_a_document_renamed_elsewhere_shows_its_new_title(followed, stack, document):
    change(stack, document, title="Renamed elsewhere")

    followed.until("document.querySelector('#title').textContent === 'Renamed elsewhere'")
    assert followed.page.title() == "Renamed elsewhere · Yapit"
    assert row(followed, "Renamed elsewhere").count() == 1


def test_a_document_shared_elsewhere_shows_it_in_the_list_and_the_open_dialog(followed, stack, document):
    followed.page.click("#share-button")
    assert not followed.page.is_checked("#share-toggle")

    change(stack, document, is_public=True)

    followed.until("document.querySelector('#share-toggle').checked")
    followed.until("document.querySelector('[aria-current=page]').textContent.includes('shared')")


def test_a_document_deleted_elsewhere_is_closed_with_a_message(followed, stack, document):
    stack.request("DELETE", f"/v1/documents/{document['id']}")

    followed.until("!document.querySelector('#empty').hidden")
    assert "deleted" in followed.page.inner_text("#toast")
    assert followed.page.locator(f".document[data-id='{document['id']}']").count() == 0


def test_changes_during_a_restart_of_the_server_show_after_it(followed, stack, document):
    stack.stop("web")
    stack.manage(
        "shell",
        "-v0",
        "-c",
        f"from yapit import documents; from yapit.models import Document; "
        f"d = Document.objects.get(pk='{document['id']}'); "
        f"documents.change(d.pk, d.owner_id, title='Renamed meanwhile')",
    )
    stack.start_web()

    followed.until("document.querySelector('#title').textContent === 'Renamed meanwhile'")


def test_a_raised_limit_ends_the_pause_of_the_player(reader, stack):
    usage = {"available": 0, "limit": 10000, "used": 10000, "requested": 90, "period_end": None}
    refusal = {"status": "error", "recoverable": False, "code": "usage_limit", "usage": usage}
    refused = []

    def refuse(frame):
        if frame["type"] != "status" or len(refused) > 8:
            return frame
        refused.append(frame)
        return {**frame, **refusal}

    intercept(reader, refuse)
    reader.page.click("#play")
    reader.until("document.querySelector('#notice').innerText.includes('10,000 of 10,000 characters')")
    refused.extend([None] * 9)

    stack.manage(
        "shell",
        "-v0",
        "-c",
        "from django.contrib.auth.models import User; from billing.plans import balances; "
        "balances.invalidate(User.objects.get(username='local').pk)",
    )

    reader.page.wait_for_selector("#notice", state="hidden")
    reader.play()


def test_the_usage_page_shows_new_figures(page, stack):
    page.goto(f"{stack.url}/usage/")
    page.wait_for_selector(".figure")
    shown = [number(text) for text in page.locator(".figure strong").all_inner_texts()]

    text = "These words are new, and they are charged to the account of this server."
    assert stack.request("POST", "/v1/synthesize", {"text": text, "model": "tone"})[0] == 200

    for _ in range(1500):
        now = [number(text) for text in page.locator(".figure strong").all_inner_texts()]
        if sum(now) == sum(shown) + len(text):
            break
        page.wait_for_timeout(20)
    assert sum(now) == sum(shown) + len(text)


def number(text):
    return int(re.sub(r"\D", "", text))


def test_a_session_that_ends_elsewhere_shows_a_message(reader):
    routes = []

    def handle(route):
        route.connect_to_server()
        routes.append(route)

    reader.page.route_web_socket(SOCKET, handle)
    reader.page.reload()
    reader.play()

    [route] = routes
    route.close(code=4401)

    reader.until("document.querySelector('#notice').innerText.includes('no longer logged in')")
