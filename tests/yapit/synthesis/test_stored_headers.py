"""What only SQLite has is looked up, and kept there, once for all who ask for it at the same time."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings

from audiocache.orders import ORDERS_STREAM, Order
from audiocache.sqlite import SqliteStore
from config.redis import multiplexed
from tests.audiocache.audio_blobs import sound
from tests.audiocache.files import copy_files
from yapit.synthesis import lookup

LISTENERS = 500


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A sound that only SQLite has."""
    one = sound()
    store = SqliteStore(copy_files(tmp_path / "files") / "audio.sqlite3", 10**9)
    store.open_writer()
    store.write_batch([one.put], [])
    monkeypatch.setattr(lookup, "store_for", lambda alias: store)
    yield one
    store.close()


async def answers(variants):
    link = multiplexed.MultiplexedConnection(django_settings.REDIS_URL)
    found = await asyncio.gather(*(lookup.stored_headers(link, [variant]) for variant in variants))
    await link.close()
    return found


async def test_one_order_keeps_what_a_crowd_is_told_of(kept, redis):
    found = await answers([kept.hash] * LISTENERS)

    entries = await sync_to_async(redis.xrange)(ORDERS_STREAM)
    assert all(set(each) == {kept.hash} for each in found)
    assert len(entries) == 1
    assert [key.hex() for key in Order.from_fields(entries[0][1]).keys] == [kept.hash]


async def test_nothing_is_ordered_for_what_is_not_there(kept, redis):
    assert await answers(["0" * 64]) == [{}]

    assert not await sync_to_async(redis.exists)(ORDERS_STREAM)
