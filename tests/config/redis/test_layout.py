"""The layout of Redis: its version, the migration from layout 1, and refusal beside other processes."""

from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command

from config.redis import clients, layout

STREAMS = ("billing", "persist")


@pytest.fixture
def single(settings):
    """One connection on an empty database that no other test uses, as `migrate_redis` has it."""
    settings.REDIS_URL = urlsplit(settings.REDIS_URL)._replace(path="/9").geturl()
    with clients.named("test-layout") as redis:
        redis.flushdb()
        yield redis
        redis.flushdb()  # later processes of the suite would refuse to start


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch):
    monkeypatch.setattr(layout, "PATIENCE_SECONDS", 0.2)


def write_layout_1(redis):
    redis.hset("due:7", mapping={"standard": 120, "premium": 3})
    redis.hset("asked:7", "standard", 1_700_000_000_000_120)
    redis.expire("asked:7", 86_400)
    redis.set("counted-due", 1)
    redis.xadd("dead:billing", {"cost": 5, "entry": "1-1", "reason": "r", "let_go": '["7","standard","5"]'})
    redis.xadd("dead:billing", {"cost": 6, "entry": "1-2", "reason": "r", "let_go": "[]"})


def test_an_empty_redis_gets_the_version(single):
    layout.check(single)

    assert int(single.get("layout")) == layout.VERSION


def test_processes_refuse_the_data_of_an_earlier_version(single):
    write_layout_1(single)

    with pytest.raises(layout.LayoutError, match="migrate_redis"):
        layout.check(single)

    assert single.get("layout") is None


def test_processes_refuse_the_data_of_a_later_version(single):
    single.set("layout", layout.VERSION + 1)

    with pytest.raises(layout.LayoutError, match="later version"):
        layout.check(single)
    with pytest.raises(layout.LayoutError, match="later version"):
        layout.migrate(single, STREAMS)


def test_the_migration_carries_everything_over(single):
    write_layout_1(single)
    ids = [entry_id for entry_id, _ in single.xrange("dead:billing")]

    assert layout.migrate(single, STREAMS)

    layout.check(single)
    assert single.hgetall("reserved:7") == {b"standard": b"120", b"premium": b"3"}
    assert single.hgetall("requested:7") == {b"standard": b"1700000000000120"}
    assert 0 < single.ttl("requested:7") <= 86_400
    assert single.exists("reserved-counted") == 1
    assert single.exists("due:7", "asked:7", "counted-due", "dead:persist") == 0
    letters = single.xrange("dead:billing")
    assert [entry_id for entry_id, _ in letters] == ids
    assert letters[0][1] == {
        b"cost": b"5", b"entry": b"1-1", b"reason": b"r", b"acknowledge_args": b'["7","standard","5"]'
    }  # fmt: skip


def test_a_second_migration_changes_nothing(single):
    write_layout_1(single)
    layout.migrate(single, STREAMS)
    before = {key: single.dump(key) for key in single.scan_iter()}

    assert not layout.migrate(single, STREAMS)

    assert {key: single.dump(key) for key in single.scan_iter()} == before


def test_a_full_redis_is_migrated_as_well(single):
    write_layout_1(single)
    limit = single.config_get("maxmemory")["maxmemory"]
    single.config_set("maxmemory", 1)
    try:
        assert layout.migrate(single, STREAMS)
    finally:
        single.config_set("maxmemory", limit)

    assert len(single.xrange("dead:billing")) == 2
    assert single.hget("reserved:7", "standard") == b"120"


def test_it_refuses_beside_other_clients_of_the_database(single):
    write_layout_1(single)
    with clients.named("consumer:billing-0") as other:
        other.ping()

        with pytest.raises(layout.LayoutError, match="consumer:billing-0"):
            layout.migrate(single, STREAMS)

    assert single.exists("due:7") == 1
    assert layout.migrate(single, STREAMS)


def test_force_migrates_beside_other_clients(single):
    write_layout_1(single)
    with clients.named("exporter") as other:
        other.ping()

        assert layout.migrate(single, STREAMS, force=True)


def test_the_command_ends_with_a_sentence_beside_other_clients(single):
    write_layout_1(single)

    with pytest.raises(CommandError, match="Stop all processes"):
        call_command("migrate_redis")


@pytest.mark.parametrize("command", ["run_scheduler", "run_worker", "run_results"])
def test_a_process_that_finds_the_earlier_layout_ends_with_a_sentence(single, command):
    write_layout_1(single)

    with pytest.raises(CommandError, match="earlier version") as caught:
        call_command(command)

    assert caught.value.returncode == 78
