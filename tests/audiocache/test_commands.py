"""The management commands for operators."""

import json

import pytest
from django.core.management import CommandError, call_command

from audiocache.inspection import ThrottledReader
from audiocache.management.commands import audiocache_stats, check_audiocache, prune_audio
from audiocache.orders import Kind
from audiocache.persister import PersistHandler
from config.streams import StreamConsumer
from tests.audiocache.audio_blobs import finish, order, sounds
from tests.audiocache.background_persister import persisting

MEGABYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def here(open_store, files, redis, monkeypatch):
    """Points the commands at the files of this test."""
    stores = {
        alias: open_store(path=files / f"{alias}.sqlite3", alias=alias)
        for alias in ("audio", "documents", "extractions")
    }
    for command in (audiocache_stats, check_audiocache, prune_audio):
        monkeypatch.setattr(command, "store_for", stores.__getitem__)


def test_stats_as_a_table(store, capsys):
    store.write_batch([one.put for one in sounds(3, size=MEGABYTE)], [])

    call_command("audiocache_stats")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["audio", "documents", "extractions"]
    assert lines[2].split() == ["audio", "MB", "3.0", "0.0", "0.0"]
    assert "0 entries, 0.0 of 128.0 MB" in lines[-1]


def test_stats_as_json(store, redis, capsys):
    store.write_batch([one.put for one in sounds(3)], [])
    finish(redis, *sounds(2))

    call_command("audiocache_stats", json=True)

    stats = json.loads(capsys.readouterr().out)
    assert stats["files"][0].items() > {"alias": "audio", "entries": 3, "bytes": 3000, "set_aside": 0}.items()
    assert stats["files"][0]["file_bytes"] + stats["files"][0]["log_bytes"] > 3000
    assert stats["waiting"]["persist"] == 2


def test_check_passes_an_undamaged_file(store, capsys):
    store.write_batch([one.put for one in sounds(50)], [order(Kind.PIN, *sounds(3))])

    call_command("check_audiocache", rate=1000)

    assert "audio: 50 entries checked, 0 damaged" in capsys.readouterr().out


def test_check_orders_the_removal_of_damaged_entries(store, tamper, redis, capsys):
    many = sounds(50)
    store.write_batch([one.put for one in many], [])
    tamper("UPDATE payload SET data = zeroblob(1000) WHERE id = 7")

    with pytest.raises(CommandError, match="1 found wrong"):
        call_command("check_audiocache", rate=1000)

    assert f"{many[6].hash} is damaged" in capsys.readouterr().err
    StreamConsumer(PersistHandler({"audio": store}, redis), redis).run_once(wait=False)
    assert not store.exists(many[6].hash)


@pytest.mark.parametrize("name", ["bytes", "n", "pinned_bytes"])
def test_check_finds_wrong_totals(store, tamper, name):
    store.write_batch([one.put for one in sounds(3)], [])
    tamper(f"UPDATE stat SET {name} = {name} + 1")

    with pytest.raises(CommandError, match="1 found wrong"):
        call_command("check_audiocache", alias="audio", rate=1000)


def test_the_throttled_reader_keeps_to_its_rate(store):
    store.write_batch([one.put for one in sounds(100)], [])
    slept = []

    list(ThrottledReader(store, 10_000, clock=lambda: 0.0, sleep=slept.append).entries())

    assert slept == [2.0, 4.0, 6.0, 8.0, 10.0]


def test_prune_waits_until_the_size_is_reached(store, redis, clock, capsys):
    store.write_batch([one.put for one in sounds(10, size=MEGABYTE // 4)], [])
    clock.now += 3600

    with persisting(redis, store):
        call_command("prune_audio", to=1)

    assert "6 entries evicted, 1.0 MB kept" in capsys.readouterr().out
    assert store.stats().bytes == MEGABYTE


def test_prune_without_a_persister_ends_with_a_message(store):
    with pytest.raises(CommandError, match="has not accepted the order yet"):
        call_command("prune_audio", to=1, wait=0)
