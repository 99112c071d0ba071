"""How /v1 is handled: without threads of its own, and for nobody who is gone."""

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


class Waiting(ApiHandler):
    """Answers when it is let to, and tells how that ended."""

    def __init__(self):
        super().__init__()
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        self.ended = None
        self._middleware_chain = self._wait

    async def _wait(self, request):
        self.begun.set()
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "answered"
        return HttpResponse(request.body)


@pytest.fixture
async def handler():
    return Waiting()


def asking(handler, **more):
    scope = {"type": "http", "method": "POST", "path": "/v1/x", "query_string": b"", "headers": [], **more}
    return ApplicationCommunicator(handler, scope)


async def send_body(asked):
    await asked.send_input({"type": "http.request", "body": b"he", "more_body": True})
    await asked.send_input({"type": "http.request", "body": b"llo", "more_body": False})


async def test_it_answers_and_says_that_it_has_ended(handler):
    told = []
    request_finished.connect(lambda sender, **_: told.append(sender), weak=False, dispatch_uid="told")
    asked = asking(handler)
    handler.let.set()
    await send_body(asked)

    assert (await asked.receive_output(PATIENCE))["status"] == 200
    assert (await asked.receive_output(PATIENCE))["body"] == b"hello"
    await asked.wait(PATIENCE)
    assert told == [Waiting]
    request_finished.disconnect(dispatch_uid="told")


async def test_who_leaves_is_not_answered_any_more(handler):
    asked = asking(handler)
    await send_body(asked)
    await handler.begun.wait()

    await asked.send_input({"type": "http.disconnect"})

    await asked.wait(PATIENCE)
    assert handler.ended == "cancelled"
    assert asked.output_queue.empty()


async def test_who_leaves_while_still_sending_is_not_even_asked_for(handler):
    asked = asking(handler)
    await asked.send_input({"type": "http.request", "body": b"he", "more_body": True})
    await asked.send_input({"type": "http.disconnect"})

    await asked.wait(PATIENCE)
    assert not handler.begun.is_set()


async def test_a_server_that_gives_up_leaves_no_task_behind(handler):
    asked = asking(handler)
    await send_body(asked)
    await handler.begun.wait()

    asked.future.cancel()

    await async_wait_until(lambda: handler.ended == "cancelled")
    await async_wait_until(lambda: len(asyncio.all_tasks()) == 1)


async def test_an_address_that_is_no_text_is_refused_like_anything_else(handler):
    asked = asking(handler, query_string=b"\xff")
    await send_body(asked)

    assert (await asked.receive_output(PATIENCE))["status"] == 400
    error = json.loads((await asked.receive_output(PATIENCE))["body"])["error"]
    assert error["code"] == "invalid_request"


@pytest.mark.django_db(transaction=True)
async def test_not_each_request_starts_a_thread(settings, monkeypatch):
    settings.MULTI_USER = True
    started, start = [], threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self) or start(self))

    for _ in range(50):
        assert (await ask())[0] == 200

    assert len(started) < 25  # those of pools, which grow when a list is built
