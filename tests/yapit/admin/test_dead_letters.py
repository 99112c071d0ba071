"""Dead letters: replay, drop, listing without spoken text; by functions, command and admin page."""

import threading
from io import StringIO

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

import config.redis.clients
from audiocache.persister import PersistHandler
from billing.usage.consumer import BillingHandler
from config.streams import StreamConsumer, dead_letters
from tests.billing.usage_events import make_account, publish, reserved, used
from tests.yapit.jobs.job_steps import (
    at_rest,
    claim,
    enqueue,
    finalize,
    make_blob,
    make_spec,
    speak_all,
)
from yapit import jobs
from yapit.jobs import State

TEXT = "Only its listener may read this."
WORK = make_spec(TEXT)
PAGE = "/admin/yapit/deadletter/"


def give_up(redis, settings, work=WORK, **options):
    """Give up a job whose workers all stop renewing; return the id of its letter."""
    before, settings.LEASE_SECONDS = settings.LEASE_SECONDS, 0
    assert enqueue(redis, work, **options).state is State.QUEUED
    for _ in range(settings.MAX_ATTEMPTS):
        claim(redis)
        jobs.reap(redis)
    settings.LEASE_SECONDS = before
    return dead_letters.letters(redis, "jobs")[0].id


def dead_letter_charge(redis, user_id, chars=10):
    """Dead-letter a charge, as after an error of the database; return the id of its letter."""
    publish(redis, user_id, chars)
    consumer = StreamConsumer(BillingHandler(), redis)
    [entry] = consumer.read(wait=False).entries
    consumer.dead_letter(entry, "DataError 22003")
    return dead_letters.letters(redis, "billing")[0].id


def drain(consumer):
    while consumer.run_once(wait=False):
        pass


def at_once(count, act):
    """Results of `act(client)` in `count` threads, each with its own client."""
    barrier, results = threading.Barrier(count), []

    def run():
        with config.redis.clients.sync() as client:
            barrier.wait()
            results.append(act(client))

    threads = [threading.Thread(target=run) for _ in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return results


def command(*args):
    out = StringIO()
    call_command("replay_dead", *args, stdout=out)
    return out.getvalue()


# --- Replay -----------------------------------------------------------------------------------------------


def test_a_replayed_job_is_synthesized_without_charge(redis, settings):
    letter = give_up(redis, settings)

    assert dead_letters.replay(redis, "jobs", [letter]) == 1
    assert claim(redis).attempt == 1
    redis.zadd("leases", dict.fromkeys(redis.zrange("leases", 0, -1), 0))
    jobs.reap(redis)

    assert speak_all(redis) == [TEXT]
    [(_, charge)] = redis.xrange("billing")
    assert charge[b"billable"] == b"0"
    assert at_rest(redis)
    assert dead_letters.waiting(redis)["jobs"] == 0


def test_a_request_joins_a_replayed_job(redis, settings):
    letter = give_up(redis, settings)

    dead_letters.replay(redis, "jobs", [letter])

    assert enqueue(redis, WORK, user=2).state is State.JOINED
    assert speak_all(redis) == [TEXT]


def test_a_job_whose_audio_exists_is_not_replayed(redis, settings):
    letter = give_up(redis, settings)
    enqueue(redis, WORK, user=2)
    speak_all(redis)

    assert dead_letters.replay(redis, "jobs", [letter]) == 1

    assert claim(redis) is None
    assert dead_letters.waiting(redis)["jobs"] == 0


@pytest.mark.django_db
def test_a_replayed_charge_is_reserved_until_it_is_charged(redis, settings):
    settings.BILLING_BATCH_HOOKS = []
    letter = dead_letter_charge(redis, user_id := make_account())
    assert reserved(redis, user_id) == {}

    assert dead_letters.replay(redis, "billing", [letter, letter]) == 1

    assert reserved(redis, user_id) == {b"standard": b"10"}
    drain(StreamConsumer(BillingHandler(), redis))
    assert used(user_id) == 10
    assert reserved(redis, user_id) == {}


@pytest.mark.django_db
def test_an_unreadable_charge_stays_reserved_and_is_not_counted_twice(redis, settings):
    settings.BILLING_BATCH_HOOKS = []
    publish(redis, user_id := make_account(), 10, hash="unreadable")
    drain(StreamConsumer(BillingHandler(), redis))
    [letter] = dead_letters.all_ids(redis, "billing")

    dead_letters.replay(redis, "billing", [letter])

    assert reserved(redis, user_id) == {b"standard": b"10"}


def test_audio_of_a_replayed_persist_entry_counts_as_unpersisted_and_does_not_expire(redis):
    enqueue(redis, WORK)
    speak_all(redis)
    size = len(make_blob())
    consumer = StreamConsumer(PersistHandler({"audio": None}, redis), redis)
    [entry] = consumer.read(wait=False).entries
    consumer.dead_letter(entry, "DataError")
    assert (int(redis.get("unpersisted")), redis.ttl(f"audio:{WORK.hash}") > 0) == (0, True)

    dead_letters.replay(redis, "persist", dead_letters.all_ids(redis, "persist"))

    assert (int(redis.get("unpersisted")), redis.ttl(f"audio:{WORK.hash}")) == (size, -1)
    [(_, again)] = redis.xrange("persist")
    assert again == entry.fields


def test_a_replayed_result_finishes_its_job(redis):
    enqueue(redis, WORK)
    job = claim(redis)
    jobs.submit_audio(redis, job.id, "w", make_blob(), 1)
    [(entry_id, fields)] = redis.xrange("results")
    redis.xdel("results", entry_id)
    redis.xadd("dead:results", {**fields, "entry": entry_id, "reason": "unlucky", "acknowledge_args": "[]"})

    dead_letters.replay(redis, "results", dead_letters.all_ids(redis, "results"))
    finalize(redis)

    assert redis.exists(f"audio:{WORK.hash}")


@pytest.mark.parametrize("act", [dead_letters.replay, dead_letters.drop])
def test_of_concurrent_calls_one_acts_on_each_letter(redis, settings, act):
    ids = [give_up(redis, settings, make_spec(f"block {i}")) for i in range(30)]

    answers = at_once(4, lambda client: act(client, "jobs", ids))

    assert sum(answers) == 30
    assert len(redis.keys("job:*")) == (30 if act is dead_letters.replay else 0)


def test_a_full_redis_keeps_the_letter(redis, settings):
    letter = give_up(redis, settings)
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(config.redis.clients.redis.OutOfMemoryError):
            dead_letters.replay(redis, "jobs", [letter])
    finally:
        redis.config_set("maxmemory", "512mb")

    assert dead_letters.replay(redis, "jobs", [letter]) == 1


def test_letters_with_text_are_dropped_after_eight_days_and_charges_never(redis):
    for stream in dead_letters.streams():
        redis.xadd(f"dead:{stream}", {"reason": "long ago", "acknowledge_args": "[]"}, id="1-1")

    assert dead_letters.trim(redis) == 2

    assert dead_letters.waiting(redis) == {"jobs": 0, "results": 1, "billing": 1, "persist": 0, "orders": 1}


# --- Listing ----------------------------------------------------------------------------------------------


def test_a_letter_shows_reason_time_and_ids_but_not_the_text(redis, settings):
    letter_id = give_up(redis, settings)

    letter = dead_letters.letter(redis, "jobs", letter_id)

    assert (letter.reason, letter.attempts, letter.shown["hash"]) == ("worker_lost", "3", WORK.hash)
    assert letter.hidden == 1
    assert TEXT not in repr(letter)


def test_unsafe_values_are_not_shown(redis):
    redis.xadd("dead:billing", {"reason": "id: missing", "id": TEXT, "text": TEXT, "acknowledge_args": "[]"})

    [letter] = dead_letters.letters(redis, "billing")

    assert (letter.shown, letter.hidden) == ({}, 2)


def test_letters_are_paginated_newest_first(redis):
    for number in range(1, 6):
        redis.xadd("dead:orders", {"reason": "r", "acknowledge_args": "[]"}, id=f"{number}-0")

    first = dead_letters.letters(redis, "orders", count=3)
    rest = dead_letters.letters(redis, "orders", before=first[-1].id, count=3)

    assert [each.id for each in first + rest] == ["5-0", "4-0", "3-0", "2-0", "1-0"]


# --- manage.py replay_dead --------------------------------------------------------------------------------


def test_the_command_lists_letters_without_the_text(redis, settings):
    letter = give_up(redis, settings)

    outputs = command(), command("--stream", "jobs"), command("--stream", "jobs", "--show", letter)

    assert all("worker_lost" in part for part in outputs[1:])
    assert WORK.hash in outputs[2]
    assert not any(TEXT in part for part in outputs)


def test_the_command_replays_letters_once(redis, settings):
    give_up(redis, settings)

    assert command("--stream", "jobs", "--replay", "all") == "1 of jobs sent in again.\n"
    assert command("--stream", "jobs", "--replay", "all") == "0 of jobs sent in again.\n"
    assert speak_all(redis) == [TEXT]


def test_the_command_drops_the_given_letters(redis, settings):
    first, second = (give_up(redis, settings, make_spec(text)) for text in ("one", "two"))

    assert command("--stream", "jobs", "--drop", first) == "1 of jobs dropped.\n"

    assert dead_letters.all_ids(redis, "jobs") == [second]


@pytest.mark.parametrize(
    "args",
    [
        ["--stream", "nonsense"],
        ["--replay", "all"],
        ["--stream", "jobs", "--replay", "everything"],
        ["--stream", "jobs", "--replay", "1-0", "all"],
        ["--stream", "jobs", "--drop", "1-0", "--replay", "1-0"],
        ["--stream", "jobs", "--show", "1-0"],
        ["--stream", "jobs", "--show", "all"],
        ["--stream", "jobs", "--count", "0"],
    ],
)
def test_the_command_refuses_invalid_arguments(redis, args):
    with pytest.raises(CommandError):
        command(*args)


# --- Admin page -------------------------------------------------------------------------------------------


@pytest.fixture
def staff(db):
    """Factory of clients of staff with the given permissions."""
    user = User.objects.create_user("staff", password="correct horse", is_staff=True)

    def allow(*verbs):
        names = [f"{verb}_deadletter" for verb in verbs]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client = Client()
        client.force_login(user)
        return client

    return allow


def test_the_page_lists_every_stream_and_never_the_text(redis, settings, staff):
    letter = give_up(redis, settings)
    client = staff("view")

    jobs_page = client.get(PAGE).content.decode()
    others = [client.get(PAGE, {"stream": stream}).status_code for stream in dead_letters.streams()]

    assert all(part in jobs_page for part in (letter, "worker_lost", WORK.hash))
    assert TEXT not in jobs_page
    assert others == [200] * 5


def test_the_page_asks_for_confirmation_and_logs_the_action(redis, settings, staff):
    letter = give_up(redis, settings)
    client = staff("view", "change")
    form = {"stream": "jobs", "action": "replay", "id": letter}

    question = client.post(PAGE, form).content.decode()
    assert "Replay these letters?" in question
    assert claim(redis) is None
    client.post(PAGE, {**form, "confirmed": "yes"})

    assert speak_all(redis) == [TEXT]
    assert User.objects.get(username="staff").logentry_set.get().object_id == "jobs"


@pytest.mark.parametrize(("verbs", "action"), [((), ""), (["view"], "replay"), (["view", "change"], "drop")])
def test_the_page_checks_permissions(redis, settings, staff, verbs, action):
    letter = give_up(redis, settings)
    client = staff(*verbs)

    answer = (
        client.post(PAGE, {"stream": "jobs", "action": action, "id": letter, "confirmed": "yes"})
        if action
        else client.get(PAGE)
    )

    assert answer.status_code == 403
    assert dead_letters.waiting(redis)["jobs"] == 1


@pytest.mark.parametrize(
    "form",
    [
        {"stream": "nonsense", "action": "drop", "id": "1-0"},
        {"stream": "jobs", "action": "nonsense", "id": "1-0"},
        {"stream": "jobs", "action": "drop", "id": "everything"},
    ],
)
def test_the_page_refuses_invalid_input(redis, staff, form):
    assert staff("view", "change", "delete").post(PAGE, form).status_code == 400


def test_the_page_shows_an_error_without_redis(staff, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert "cannot be reached" in staff("view").get(PAGE).content.decode()
