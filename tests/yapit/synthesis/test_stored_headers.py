"""Stored headers: concurrent requests share one read of SQLite and one order to keep the audio."""

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
def stored(tmp_path, monkeypatch):
    """Audio in SQLite that is not in Redis."""
    audio = sound()
    store = SqliteStore(copy_files(tmp_path / "files") / "audio.sqlite3", 10**9)
    store.open_writer()
    store.write_batch([audio.put], [])
    monkeypatch.setattr(lookup, "store_for", lambda alias: store)
    yield audio
    store.close()


async def headers_of(variants):
    link = multiplexed.MultiplexedConnection(django_settings.REDIS_URL)
    headers = await asyncio.gather(*(lookup.stored_headers(link, [variant]) for variant in variants))
    await link.close()
    return headers


async def test_concurrent_requests_share_one_order(stored, redis):
    headers = await headers_of([stored.hash] * LISTENERS)

    entries = await sync_to_async(redis.xrange)(ORDERS_STREAM)
    assert all(set(each) == {stored.hash} for each in headers)
    assert len(entries) == 1
    assert [key.hex() for key in Order.from_fields(entries[0][1]).keys] == [stored.hash]


async def test_unknown_audio_causes_no_order(stored, redis):
    assert await headers_of(["0" * 64]) == [{}]

    assert not await sync_to_async(redis.exists)(ORDERS_STREAM)
