"""A WebSocket client in the event loop of the test."""

import json
from contextlib import asynccontextmanager

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator

from tests.waiting import PATIENCE
from tests.yapit.jobs.job_steps import finalize, finish, submit_error
from yapit import jobs
from yapit.realtime import notifications
from yapit.sockets.synthesis_socket import SynthesisSocket

PAGE = [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")]
QUIET_SECONDS = 0.3


class Listener:
    """Uses the communicator of asgiref: with that of Channels database connections stay open."""

    def __init__(self, headers=PAGE, subprotocols=(), query="", consumer=SynthesisSocket):
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": "/v1/ws/tts",
            "query_string": query.encode(),
            "headers": headers,
            "subprotocols": list(subprotocols),
        }
        self.socket = ApplicationCommunicator(consumer.as_asgi(), scope)

    async def connect(self):
        """Return the selected subprotocol."""
        await self.socket.send_input({"type": "websocket.connect"})
        message = await self.socket.receive_output(PATIENCE)
        assert message["type"] == "websocket.accept", message
        return message["subprotocol"]

    async def send_text(self, text):
        await self.socket.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data):
        await self.socket.send_input({"type": "websocket.receive", "bytes": data})

    async def send(self, **message):
        await self.send_text(json.dumps(message))

    async def ask(self, document, *indices, **more):
        await self.send(type="synthesize", document_id=str(document.pk), block_indices=list(indices), **more)

    async def frame(self):
        message = await self.socket.receive_output(PATIENCE)
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def frames(self, count):
        return [await self.frame() for _ in range(count)]

    async def close_code(self):
        return (await self.closing())["code"]

    async def closing(self):
        message = await self.socket.receive_output(PATIENCE)
        assert message["type"] == "websocket.close", message
        return message

    async def is_quiet(self):
        return await self.socket.receive_nothing(QUIET_SECONDS, 0.02)

    async def close(self):
        await self.socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.socket.wait(PATIENCE)


@asynccontextmanager
async def listener(**options):
    """An open connection. The notification hub is closed at the end."""
    one = Listener(**options)
    await one.connect()
    try:
        yield one
    finally:
        await one.close()
        await notifications.hub().close()


@sync_to_async
def work_off(redis, model="tone"):
    """Synthesize all queued blocks, as workers and the results consumer would."""
    while job := jobs.claim(redis, model, "w"):
        finish(redis, job)


@sync_to_async
def fail_all(redis, code="engine_failed"):
    while job := jobs.claim(redis, "tone", "w"):
        submit_error(redis, job.id, "w", code)
    finalize(redis)


def brief(frame):
    return frame["type"], frame.get("block_idx"), frame.get("status"), frame.get("code")
