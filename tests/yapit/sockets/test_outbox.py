"""The outbox of a WebSocket."""

import asyncio
import json
from uuid import UUID

import pytest

from yapit import protocol
from yapit.realtime.background import BackgroundTasks
from yapit.sockets import outbox
from yapit.sockets.outbox import Outbox

DOCUMENT = UUID(int=1)


def status(index):
    return protocol.Status(
        document_id=DOCUMENT, block_idx=index, status="queued", model_slug="tone", voice_slug="sine"
    )


@pytest.fixture
def frames():
    return []


@pytest.fixture
async def box(frames):
    async def send(message):
        frames.append(json.loads(message["text"]))

    return Outbox(send, BackgroundTasks())


async def test_messages_leave_in_order_and_numbered(box, frames):
    for index in range(3):
        assert box.put(status(index))

    await box.flush()

    assert [(frame["seq"], frame["block_idx"]) for frame in frames] == [(1, 0), (2, 1), (3, 2)]


async def test_messages_leave_without_a_flush_by_the_caller(box, frames):
    box.put(status(0))

    await asyncio.sleep(0.01)

    assert len(frames) == 1


async def test_in_batched_mode_consecutive_statuses_share_a_frame(box, frames):
    box.is_batched = True
    for message in (status(0), status(1), protocol.Error(code="busy", error="Busy."), status(2)):
        box.put(message)

    await box.flush()

    assert [frame["type"] for frame in frames] == ["statuses", "error", "statuses"]
    assert [each["seq"] for each in frames[0]["statuses"]] == [1, 1]


async def test_a_full_outbox_refuses_messages(box):
    for index in range(outbox.LIMIT):
        assert box.put(status(index))

    assert not box.put(status(0))


async def test_a_closed_outbox_drops_messages(box, frames):
    box.put(status(0))
    box.is_closed = True
    assert box.put(status(1))

    await box.flush()

    assert frames == []


async def test_after_a_disconnect_the_messages_are_dropped(frames):
    async def fail(message):
        frames.append(message)
        raise OSError

    box = Outbox(fail, BackgroundTasks())
    for index in range(3):
        box.put(status(index))

    await box.flush()

    assert len(frames) == 1
