"""Requests to /v1/synthesize and a worker that answers them."""

import asyncio
import json
from contextlib import asynccontextmanager

from asgiref.testing import ApplicationCommunicator

from config.database.offload import offload
from tests.waiting import PATIENCE
from tests.yapit.factories import make_model, make_user, make_voice
from tests.yapit.sockets.socket_client import work_off
from tests.yapit.web.http_clients import own_page
from yapit.accounts import identity
from yapit.catalog import resolution
from yapit.realtime import notifications


@asynccontextmanager
async def speaking_site(settings):
    """HTTP client in single-user mode, with one voice."""
    settings.MIDDLEWARE = settings.API_MIDDLEWARE  # as in yapit.api.http.handler: sync ones use a thread
    settings.DEFAULT_MODEL = "tone"
    settings.RESYNC_SECONDS = 0.2
    settings.SYNTHESIZE_TIMEOUT = 20.0
    resolution.forget()
    identity.forget()
    await offload(make_voices)
    yield own_page()
    await notifications.hub().close()


def make_voices():
    make_user("local")
    make_voice("sine", model=make_model("tone"), language="de-AT")


async def synthesize(site, text="Hello there.", accept="*/*", **more):
    return await site.post(
        "/v1/synthesize", {"text": text, **more}, content_type="application/json", headers={"accept": accept}
    )


async def with_worker(redis, request, work=work_off):
    """Response to a request, with a worker running until it arrives."""
    response = asyncio.ensure_future(request)
    while not response.done():
        await work(redis)
        await asyncio.sleep(0.01)
    return await response


def error_of(answer):
    return answer.status_code, answer.json()["error"]["code"]


class DisconnectingClient:
    """ASGI client of /v1/synthesize that can disconnect."""

    async def send(self, text="Hello there."):
        from config.asgi import application

        headers = {"host": "localhost", "origin": "http://localhost", "content-type": "application/json"}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/synthesize",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self.request = ApplicationCommunicator(application, scope)
        body = json.dumps({"text": text}).encode()
        await self.request.send_input({"type": "http.request", "body": body})

    async def disconnect(self):
        await self.request.send_input({"type": "http.disconnect"})
        await self.request.wait(PATIENCE)
