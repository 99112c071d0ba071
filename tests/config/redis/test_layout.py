"""The layout of Redis: its version, migration from earlier ones, and refusal beside other processes."""

import json
from datetime import date
from urllib.parse import urlsplit

import msgspec
import pytest
from django.core.management import CommandError, call_command

from config.redis import clients, layout
from yapit.jobs import JobSpec
from yapit.synthesis.speech_job import SpeechPayload

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
    letter = {"id": "a", "cost": 5, "entry": "1-1", "reason": "r", "let_go": '["7","standard","5"]'}
    redis.xadd("dead:billing", letter)
    redis.xadd("dead:billing", {"cost": 6, "entry": "1-2", "reason": "r", "let_go": "[]"})
    use = {"id": "p", "user": 7, "usage_type": "premium", "cost": 3, "billable": 1}
    redis.xadd("billing", use, id="5-0")
    write_job(redis, "s", hash="aa" * 32, chars=120, cost=120, user=7)
    redis.hset("job:malformed", mapping={"hash": "bb" * 32, "user": 7})


JOB = {
    "text": "Grüße", "chars": 5, "cost": 5, "model": "tone", "voice": "sine", "params": '{"pitch":1}',
    "revision": "1", "codec": "opus", "multiplier_bp": 10_000, "usage_type": "standard", "document": "d",
    "owner": "1", "rank": "100000000000007", "billable": 1, "attempts": 0, "created": 1_700_000_000_000,
}  # fmt: skip


def write_job(redis, job_id, **changes):
    """A job as layouts 1 and 2 have it."""
    redis.hset(f"job:{job_id}", mapping=JOB | changes)


def packed_by_redis(redis, table):
    """Strings in a map or in a list, packed as by a script of an earlier layout."""
    script = "local t = cjson.decode(ARGV[1]) return cmsgpack.pack(t)"
    return redis.eval(script, 0, json.dumps(table))


def reservations(redis):
    found = redis.hgetall("reservations")
    return {job.decode(): value.decode().rstrip() for job, value in found.items()}


def write_layout_2(redis):
    redis.set("layout", 2)
    redis.hset("reserved:1", "standard", 999)  # of which most had leaked
    redis.hset("reserved:2", "standard", 7)
    write_job(redis, "waiting", hash="11" * 32, user=1)
    write_job(redis, "claimed", hash="22" * 32, user=1, worker="w", attempts=1, cost=4)
    write_job(redis, "submitted", hash="33" * 32, user=1, worker="w", submitted=9, duration_ms=1234)
    write_job(redis, "unbilled", hash="44" * 32, user=1, billable=0)
    strings = {name: str(value) for name, value in (JOB | {"hash": "55" * 32, "user": 3}).items()}
    packed = packed_by_redis(redis, strings)
    redis.xadd("persist", {"hash": "55" * 32, "size": 10, "job": packed}, id="7-0")
    redis.xgroup_create("persist", "persister", id="0")
    redis.xreadgroup("persister", "persister-0", {"persist": ">"})
    letter = {"hash": "55" * 32, "size": 10, "sealed:job": packed, "entry": "1-1", "reason": "r"}
    redis.xadd("dead:persist", letter | {"acknowledge_args": '["10","55","300"]'})
    redis.xadd("dead:persist", {"hash": "66" * 32, "sealed:job": b"\xc1", "entry": "1-1", "reason": "r"})
    flat = packed_by_redis(redis, [part for pair in strings.items() for part in pair])
    redis.xadd("dead:jobs", {"id": "x", "hash": "55" * 32, "attempts": 3, "reason": "r", "sealed:job": flat})
    redis.hset("day:2026-11-30", mapping={"characters": 5, "jobs": 1})
    redis.expire("day:2026-11-30", 1000)


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
    assert reservations(single) == {"s": "7 standard 120", "p": "7 premium 3 5-0"}
    assert not single.exists("job:malformed")
    assert single.hgetall("requested:7") == {b"standard": b"1700000000000120"}
    assert 0 < single.ttl("requested:7") <= 86_400
    assert single.exists("reserved-counted") == 1
    assert single.exists("due:7", "asked:7", "counted-due", "dead:persist") == 0
    letters = single.xrange("dead:billing")
    assert [entry_id for entry_id, _ in letters] == ids
    assert letters[0][1] == {
        b"id": b"a", b"cost": b"5", b"entry": b"1-1", b"reason": b"r",
        b"acknowledge_args": b'["a","7","standard","5"]',
    }  # fmt: skip
    assert letters[1][1][b"acknowledge_args"] == b"[]"


def test_jobs_of_layout_2_keep_their_specification_and_their_state(single):
    write_layout_2(single)

    assert layout.migrate(single, STREAMS)

    waiting, claimed, submitted = (
        single.hgetall(f"job:{job_id}") for job_id in ("waiting", "claimed", "submitted")
    )
    spec = JobSpec.unpack(waiting[b"spec"])
    payload = msgspec.msgpack.decode(spec.payload, type=SpeechPayload)
    assert spec == JobSpec(
        kind="speech", queue="tone", key="11" * 32, payload=spec.payload, usage_type="standard", units=5,
        cost=5, store="audio", fields=("hash", "11" * 32, "model", "tone", "voice", "sine", "chars", 5,
        "multiplier_bp", 10_000),
    )  # fmt: skip
    assert payload == SpeechPayload("Grüße", "sine", '{"pitch":1}', "1", "opus")
    assert {name: waiting[name] for name in (b"user", b"owner", b"rank", b"billable", b"document")} == {
        b"user": b"1", b"owner": b"1", b"rank": b"100000000000007", b"billable": b"1", b"document": b"d"
    }  # fmt: skip
    assert (claimed[b"worker"], claimed[b"attempts"]) == (b"w", b"1")
    assert submitted[b"submitted"] == b"9"
    assert msgspec.msgpack.decode(submitted[b"result"]) == ["duration_ms", 1234]
    assert b"text" not in waiting


def test_reservations_of_layout_2_are_those_of_jobs_and_entries_only(single):
    write_layout_2(single)

    layout.migrate(single, STREAMS)

    assert single.hgetall("reserved:1") == {b"standard": b"14"}
    assert not single.exists("reserved:2")
    assert reservations(single)["waiting"] == "1 standard 5"
    assert len(reservations(single)) == 3


def test_lost_jobs_and_dead_letters_of_layout_2_can_be_read(single):
    write_layout_2(single)

    layout.migrate(single, STREAMS)

    [(entry, fields)] = single.xrange("persist")
    user, document, spec = msgspec.msgpack.decode(fields[b"job"], type=tuple[str, str, msgspec.Raw])
    assert (entry, fields[b"alias"], user, document) == (b"7-0", b"audio", "3", "d")
    assert JobSpec.unpack(bytes(spec)).key == "55" * 32
    letter, unreadable = (fields for _, fields in single.xrange("dead:persist"))
    assert letter[b"sealed:job"] == fields[b"job"]
    assert unreadable[b"sealed:job"] == b"\xc1"
    [(_, job)] = single.xrange("dead:jobs")
    assert (job[b"id"], job[b"queue"], job[b"key"], job[b"reason"]) == (b"x", b"tone", b"55" * 32, b"r")


def test_days_become_numbers_and_keep_their_expiry(single):
    write_layout_2(single)

    layout.migrate(single, STREAMS)

    number = (date(2026, 11, 30) - date(1970, 1, 1)).days
    assert single.hgetall(f"day:{number}") == {b"characters": b"5", b"jobs": b"1"}
    assert 0 < single.ttl(f"day:{number}") <= 1000
    assert not single.exists("day:2026-11-30")


@pytest.mark.parametrize("write", [write_layout_1, write_layout_2])
def test_a_second_migration_changes_nothing(single, write):
    write(single)
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


@pytest.mark.parametrize("kind", ["job", "dead letter", "day"])
def test_earlier_data_is_recognized_without_counts_of_reservations(single, kind):
    match kind:
        case "job":  # as warm_audio enqueues it
            single.hset("job:1", mapping={"hash": "0" * 64, "text": "Hello.", "owner": "~warm"})
        case "dead letter":
            single.xadd("dead:orders", {"alias": "audio", "entry": "1-1", "reason": "r", "let_go": "[]"})
        case "day":
            single.hset("day:2026-11-30", "jobs", 1)

    with pytest.raises(layout.LayoutError, match="migrate_redis"):
        layout.check(single)


def test_an_emptied_redis_in_use_is_not_taken_for_an_earlier_layout(single):
    single.hset("job:1", mapping={"spec": "packed", "owner": "7"})
    single.hset("day:20788", "jobs", 1)
    single.xadd("dead:orders", {"alias": "audio", "entry": "1-1", "acknowledge_args": "[]"})

    layout.check(single)

    assert int(single.get("layout")) == layout.VERSION
