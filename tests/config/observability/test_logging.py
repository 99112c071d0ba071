"""Log lines: ids, access lines, and no secrets."""

import json
import logging

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse

from config.observability.logging import RequestIdMiddleware, bound, configure


@pytest.fixture
def lines(settings, capsys):
    """The JSON lines logged by the test."""
    configure(settings.LOGGING | {"level": "INFO", "format": "json"})
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    configure(settings.LOGGING)


def view(request):
    logging.getLogger("view").info("seen %d", 1)
    return HttpResponse("done")


def test_a_request_has_one_id_in_its_lines_and_its_response(rf, lines):
    response = RequestIdMiddleware(view)(rf.get("/page"))

    assert {line["request_id"] for line in lines()} == {response["x-request-id"]}


def test_a_given_id_is_kept(rf):
    response = RequestIdMiddleware(view)(rf.get("/", headers={"x-request-id": "from-the-proxy.1"}))

    assert response["x-request-id"] == "from-the-proxy.1"


@pytest.mark.parametrize("odd", ["", "a b", "a\nb", "x" * 65, "ключ"])
def test_an_unsafe_id_is_replaced(rf, odd):
    response = RequestIdMiddleware(view)(rf.get("/", HTTP_X_REQUEST_ID=odd))

    assert len(response["x-request-id"]) == 32


def test_the_access_line_contains_no_query_body_or_header(rf, lines):
    RequestIdMiddleware(view)(rf.post("/p%0Aq?token=s3cret", {"text": "s3cret"}, HTTP_AUTHORIZATION="s3cret"))

    line = next(line for line in lines() if line["logger"] == "access")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/p%0Aq", 200)
    assert "s3cret" not in json.dumps(line)


async def test_the_middleware_stays_on_the_event_loop(rf, lines):
    async def async_view(request):
        return view(request)

    middleware = RequestIdMiddleware(async_view)
    response = await middleware(rf.get("/"))

    assert iscoroutinefunction(middleware)
    assert lines()[0]["request_id"] == response["x-request-id"]


def test_bound_values_are_added_to_lines(lines):
    with bound(job_id="j1"):
        logging.getLogger("worker").info("claimed", extra={"attempt": 2})

    assert lines()[0] | {"timestamp": ""} == {
        "event": "claimed",
        "job_id": "j1",
        "attempt": 2,
        "level": "info",
        "logger": "worker",
        "timestamp": "",
    }


def test_a_traceback_shows_no_values(lines, capsys):
    configure({"level": "INFO", "format": "text"})
    spoken = "a private " + "letter"
    try:
        raise ValueError(len(spoken))
    except ValueError:
        logging.getLogger("worker").exception("failed")

    written = capsys.readouterr().err
    assert "ValueError" in written
    assert "a private letter" not in written


def test_a_static_file_leaves_no_access_line(client, lines):
    response = client.get("/static/yapit/three-paths.svg")

    assert response.status_code == 200
    assert b"".join(response.streaming_content)
    assert not [line for line in lines() if line["event"] == "request"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_keys_and_tickets_are_hidden_in_every_part_of_a_line(rf, settings, capsys, form):
    configure(settings.LOGGING | {"format": form})
    secrets = [f"yk_a1b2c3d4e5f6_{'0f' * 24}", f"yt_{'0f' * 24}"]
    for secret in secrets:
        RequestIdMiddleware(view)(rf.get(f"/keys/{secret}"))
        logging.getLogger("any").error("it was %s", secret, extra={"path": f"/{secret}"})
        try:
            raise ValueError(secret)
        except ValueError:
            logging.getLogger("any").exception("it failed")

    shown = capsys.readouterr().err
    configure(settings.LOGGING)
    assert not [secret for secret in secrets if secret[4:] in shown]
    assert shown.count("[secret]") >= 8
