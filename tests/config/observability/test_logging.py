"""What log lines carry, and what they do not."""

import json
import logging

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse

from config.observability.logging import RequestIdMiddleware, bound, configure


@pytest.fixture
def lines(settings, capsys):
    """What was logged as JSON since the test began."""
    configure(settings.LOGGING | {"level": "INFO", "format": "json"})
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    configure(settings.LOGGING)


def answer(request):
    logging.getLogger("view").info("seen %d", 1)
    return HttpResponse("done")


def test_a_request_has_one_id_in_its_lines_and_its_answer(rf, lines):
    response = RequestIdMiddleware(answer)(rf.get("/page"))

    assert {line["request_id"] for line in lines()} == {response["x-request-id"]}


def test_an_id_that_came_along_is_kept(rf):
    response = RequestIdMiddleware(answer)(rf.get("/", headers={"x-request-id": "from-the-proxy.1"}))

    assert response["x-request-id"] == "from-the-proxy.1"


@pytest.mark.parametrize("odd", ["", "a b", "a\nb", "x" * 65, "ключ"])
def test_an_odd_id_is_replaced(rf, odd):
    response = RequestIdMiddleware(answer)(rf.get("/", HTTP_X_REQUEST_ID=odd))

    assert len(response["x-request-id"]) == 32


def test_the_access_line_leaves_out_what_may_be_secret(rf, lines):
    RequestIdMiddleware(answer)(
        rf.post("/p%0Aq?token=s3cret", {"text": "s3cret"}, HTTP_AUTHORIZATION="s3cret")
    )

    line = next(line for line in lines() if line["logger"] == "access")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/p%0Aq", 200)
    assert "s3cret" not in json.dumps(line)


async def test_the_middleware_stays_on_the_event_loop(rf, lines):
    async def view(request):
        return answer(request)

    middleware = RequestIdMiddleware(view)
    response = await middleware(rf.get("/"))

    assert iscoroutinefunction(middleware)
    assert lines()[0]["request_id"] == response["x-request-id"]


def test_a_job_is_named_in_what_is_logged_about_it(lines):
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
    answer = client.get("/static/yapit/three-paths.svg")

    assert answer.status_code == 200
    assert b"".join(answer.streaming_content)
    assert not [line for line in lines() if line["event"] == "request"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_shows_a_key_or_a_ticket_however_it_got_there(rf, settings, capsys, form):
    configure(settings.LOGGING | {"format": form})
    secrets = [f"yk_a1b2c3d4e5f6_{'0f' * 24}", f"yt_{'0f' * 24}"]
    for secret in secrets:
        RequestIdMiddleware(answer)(rf.get(f"/keys/{secret}"))
        logging.getLogger("any").error("it was %s", secret, extra={"path": f"/{secret}"})
        try:
            raise ValueError(secret)
        except ValueError:
            logging.getLogger("any").exception("it failed")

    shown = capsys.readouterr().err
    configure(settings.LOGGING)
    assert not [secret for secret in secrets if secret[4:] in shown]
    assert shown.count("[secret]") >= 8
