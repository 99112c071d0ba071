"""ASGI handler of /v1: disconnects, cancellation, and no thread per request."""

import asyncio
import json
import threading

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished
from django.http import HttpResponse

from tests.waiting import PATIENCE, async_wait_until
from tests.yapit.api.http.test_not_modified import ask
from yapit.api.http.handler import ApiHandler


class EchoView:
    """Middleware in place of all views: echoes the body when released, and records how the request ended."""

    def __init__(self):
        self.started, self.released = asyncio.Event(), asyncio.Event()
        self.ended = None

    async def respond(self, request):
        self.started.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "responded"
        return HttpResponse(request.body)


@pytest.fixture
async def view(monkeypatch):
    view = EchoView()
    monkeypatch.setattr(f"{__name__}.echo_middleware", lambda get_response: view.respond)
    return view


def echo_middleware(get_response):
    """Replaced by the fixture `view`."""


@pytest.fixture
def handler(view, settings):
    settings.API_MIDDLEWARE = [f"{__name__}.echo_middleware"]
    return ApiHandler()


def open_request(handler, **scope):
    default = {"type": "http", "method": "POST", "path": "/v1/x", "query_string": b"", "headers": []}
    return ApplicationCommunicator(handler, default | scope)


async def send_body(request):
    await request.send_input({"type": "http.request", "body": b"he", "more_body": True})
    await request.send_input({"type": "http.request", "body": b"llo", "more_body": False})


async def test_a_response_is_followed_by_request_finished(handler, view):
    senders = []
    request_finished.connect(lambda sender, **_: senders.append(sender), weak=False, dispatch_uid="senders")
    request = open_request(handler)
    view.released.set()
    await send_body(request)

    assert (await request.receive_output(PATIENCE))["status"] == 200
    assert (await request.receive_output(PATIENCE))["body"] == b"hello"
    await request.wait(PATIENCE)
    assert senders == [ApiHandler]
    request_finished.disconnect(dispatch_uid="senders")


async def test_a_disconnect_cancels_the_view(handler, view):
    request = open_request(handler)
    await send_body(request)
    await view.started.wait()

    await request.send_input({"type": "http.disconnect"})

    await request.wait(PATIENCE)
    assert view.ended == "cancelled"
    assert request.output_queue.empty()


async def test_a_disconnect_during_the_body_does_not_call_the_view(handler, view):
    request = open_request(handler)
    await request.send_input({"type": "http.request", "body": b"he", "more_body": True})
    await request.send_input({"type": "http.disconnect"})

    await request.wait(PATIENCE)
    assert not view.started.is_set()


async def test_a_cancelled_request_leaves_no_task_behind(handler, view):
    request = open_request(handler)
    await send_body(request)
    await view.started.wait()

    request.future.cancel()

    await async_wait_until(lambda: view.ended == "cancelled")
    await async_wait_until(lambda: len(asyncio.all_tasks()) == 1)


async def test_an_undecodable_query_string_is_refused(handler):
    request = open_request(handler, query_string=b"\xff")
    await send_body(request)

    assert (await request.receive_output(PATIENCE))["status"] == 400
    error = json.loads((await request.receive_output(PATIENCE))["body"])["error"]
    assert error["code"] == "invalid_request"


@pytest.mark.django_db(transaction=True)
async def test_requests_start_no_threads(settings, monkeypatch):
    settings.MULTI_USER = True
    started, start = [], threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self) or start(self))

    for _ in range(50):
        assert (await ask())[0] == 200

    assert len(started) < 25  # threads of pools, which grow when a list is built
