"""Leaderboard: counting, roll-up and polling, without naming accounts."""

import json
import threading
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing.models import UsageDay
from billing.usage.events import UsageEvent
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from config import caching
from config.database.offload import offload
from tests.waiting import async_wait_until, wait_until
from tests.yapit.factories import make_document, make_user, make_voice
from tests.yapit.web.http_clients import Client
from yapit import documents
from yapit.deletion.account_deletion import delete_account
from yapit.models import LeaderboardDay, LeaderboardRow, Playback, Voice
from yapit.usage import leaderboard

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
PATH = "/v1/leaderboard/recent"


def charge(voice="aria", users=range(1, 6), characters=10, at=NOON, document=None):
    """Charge each account for these characters; the voice is made public if it does not exist."""
    if not Voice.objects.filter(slug=voice).exists():
        make_voice(voice)
    record_usage(
        UsageEvent(
            id=uuid4().hex,
            user_id=user,
            characters=characters,
            multiplier_bp=10_000,
            cost=characters,
            usage_type=UsageType.STANDARD,
            billable=True,
            hash="a" * 64,
            model="bell",
            voice=voice,
            document=document,
            duration_ms=900,
            occurred_at=at,
        )
        for user in users
    )


def shown(today=DAY):
    return [json.loads(row) for day in leaderboard.recent(today) for row in day.rows]


def places(today=DAY):
    return [
        (row["day"], row["rank"], row.get("voice") or row["title"], row["listeners"]) for row in shown(today)
    ]


# --- Counting -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_voices_are_ranked_by_characters():
    charge("aria", characters=10)
    charge("bruno", characters=30, users=range(1, 8))

    assert shown() == [
        {
            "day": "2026-03-10",
            "kind": "voice",
            "rank": 1,
            "voice": "bruno",
            "model": "bell",
            "characters": 210,
            "listeners": 7,
        },
        {
            "day": "2026-03-10",
            "kind": "voice",
            "rank": 2,
            "voice": "aria",
            "model": "bell",
            "characters": 50,
            "listeners": 5,
        },
    ]


@pytest.mark.django_db
def test_voices_with_fewer_than_five_listeners_are_left_out():
    charge("aria", users=[1, 2, 3, 4] * 10, characters=1000)

    assert shown() == []


@pytest.mark.django_db
def test_a_deleted_account_still_counts_as_a_listener():
    users = [make_user() for _ in range(5)]
    charge(users=[user.pk for user in users])
    delete_account(users[0].pk)

    assert places() == [("2026-03-10", 1, "aria", 5)]


@pytest.mark.django_db
def test_private_and_unapproved_voices_are_not_shown_even_after_deletion():
    owner = make_user()
    make_voice("aria", owner=owner)
    make_voice("bruno", approved=False)
    for voice in ("aria", "bruno", "clara"):
        charge(voice)
    assert [row["voice"] for row in shown()] == ["clara"]

    leaderboard.roll_up(NOON + timedelta(days=1))
    delete_account(owner.pk)

    assert [row["voice"] for row in shown(DAY + timedelta(days=1))] == ["clara"]


@pytest.mark.django_db
def test_public_documents_are_ranked_by_listeners():
    public = make_document(is_public=True, title="For all")
    private = make_document(title="For me")
    charge(users=[1, 2], document=public.pk)
    charge(users=range(1, 9), document=private.pk)
    for _ in range(3):
        Playback.objects.create(user=make_user(), document=public, block_idx=0, played_at=NOON)
        Playback.objects.create(
            user=make_user(), document=public, block_idx=0, played_at=NOON - timedelta(days=1)
        )

    (row,) = [row for row in shown() if row["kind"] == "document"]

    assert row == {
        "day": "2026-03-10",
        "kind": "document",
        "rank": 1,
        "id": str(public.pk),
        "title": "For all",
        "listeners": 5,
    }


@pytest.mark.django_db
def test_a_document_that_becomes_private_is_removed_from_all_days():
    document = make_document(is_public=True, title="For all")
    charge(users=range(1, 6), document=document.pk)
    leaderboard.roll_up(NOON + timedelta(days=2))
    assert "For all" in str(shown(DAY + timedelta(days=2)))

    documents.change(document.pk, document.owner_id, is_public=False)

    assert "document" not in str(shown(DAY + timedelta(days=2)))


@pytest.mark.django_db
def test_places_and_days_are_limited():
    for number in range(leaderboard.PLACES + 5):
        charge(f"voice{number}")
    charge("late", at=NOON - timedelta(days=40))

    assert len(shown()) == leaderboard.PLACES
    assert shown(DAY + timedelta(days=40)) == []


# --- Rolling up -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_roll_up_does_not_change_a_day():
    charge()
    before = places(DAY + timedelta(days=1))

    assert DAY in leaderboard.roll_up(NOON + timedelta(days=1))

    assert LeaderboardRow.objects.count() == 1
    assert places(DAY + timedelta(days=1)) == before == [("2026-03-10", 1, "aria", 5)]


@pytest.mark.django_db
def test_a_roll_up_is_repeatable():
    def written():
        return list(
            LeaderboardRow.objects.order_by("day", "kind", "rank").values_list("day", "rank", "voice")
        )

    charge("aria")
    charge("bruno", characters=30)
    leaderboard.roll_up(NOON + timedelta(hours=13))
    before, shown_before = written(), shown(DAY + timedelta(days=1))

    for _ in range(2):
        assert DAY in leaderboard.roll_up(NOON + timedelta(hours=13))

    assert (written(), shown(DAY + timedelta(days=1))) == (before, shown_before)
    assert len(before) == 2


@pytest.mark.django_db
def test_late_usage_is_counted_until_the_day_has_settled():
    just_after = datetime(2026, 3, 11, 0, 30, tzinfo=UTC)
    charge(users=range(1, 6))
    leaderboard.roll_up(just_after)
    charge(users=range(6, 8))
    leaderboard.roll_up(just_after + timedelta(hours=1))
    assert places(DAY + timedelta(days=1)) == [("2026-03-10", 1, "aria", 7)]

    leaderboard.roll_up(just_after + timedelta(hours=3))

    assert DAY not in leaderboard.roll_up(just_after + timedelta(hours=4))


@pytest.mark.django_db
def test_missing_days_are_rolled_up_later():
    charge()

    leaderboard.roll_up(NOON + timedelta(days=5))
    UsageDay.objects.all().delete()

    assert places(DAY + timedelta(days=5)) == [("2026-03-10", 1, "aria", 5)]
    assert LeaderboardDay.objects.count() == leaderboard.CAUGHT_UP_DAYS


@pytest.mark.django_db
def test_today_is_never_rolled_up(capsys):
    charge(at=timezone.now())

    call_command("roll_up_leaderboard")

    assert not LeaderboardRow.objects.exists()
    assert len(capsys.readouterr().out.split()) == leaderboard.CAUGHT_UP_DAYS


@pytest.mark.django_db(transaction=True)
def test_the_scheduler_does_not_wait_for_the_roll_up(redis):
    charge(at=timezone.now() - timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [leaderboard.ROLLING_UP])
        leaderboard.roll_up_in_thread(redis)
        leaderboard.roll_up_in_thread(redis)
        assert not LeaderboardDay.objects.exists()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [leaderboard.ROLLING_UP])

    wait_until(lambda: "leaderboard" not in {thread.name for thread in threading.enumerate()})
    assert LeaderboardRow.objects.count() == 1


# --- Polling --------------------------------------------------------------------------------------------


@pytest.fixture
def poll_leaderboard(settings, transactional_db):
    settings.MULTI_USER = True
    caching.flush_all()

    async def poll(status=200, **query):
        answer = await Client().get(PATH, query)
        assert answer.status_code == status, answer.content
        return answer.json()

    return poll


async def test_polling_returns_new_rows_then_none_then_304(poll_leaderboard):
    await offload(charge, at=timezone.now())
    first = await poll_leaderboard()
    assert [row["voice"] for row in first["data"]] == ["aria"]

    path = f"{PATH}?after={first['cursor']}"
    empty = await Client().get(path)
    again = await Client().get(path, headers={"if-none-match": empty["ETag"]})

    assert empty.json() == {"object": "list", "data": [], "cursor": first["cursor"], "has_more": False}
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", empty["ETag"])
    assert again["Cache-Control"] == "public, max-age=15"


async def test_the_rows_of_a_changed_day_are_sent_again(poll_leaderboard):
    await offload(charge, at=timezone.now())
    first = await poll_leaderboard()
    await offload(charge, "bruno", characters=99, at=timezone.now())
    caching.flush_all()

    new = await poll_leaderboard(after=first["cursor"])

    assert [(row["rank"], row["voice"]) for row in new["data"]] == [(1, "bruno"), (2, "aria")]
    assert (await poll_leaderboard(after=new["cursor"]))["data"] == []


async def test_polls_with_different_limits_count_once(poll_leaderboard, monkeypatch):
    counted, recent = [], leaderboard.recent
    monkeypatch.setattr(leaderboard, "recent", lambda: counted.append(1) or recent())

    for number in range(100):
        await poll_leaderboard(limit=number % 100 + 1)

    assert len(counted) == 1


async def test_a_rolled_up_day_is_shown_at_once(poll_leaderboard, redis):
    await caching.listen().subscribed()
    await offload(charge, at=timezone.now() - timedelta(days=3))
    assert (await poll_leaderboard())["data"] == []

    await offload(leaderboard.roll_up)

    async def is_shown():
        return len((await poll_leaderboard())["data"]) == 1

    await async_wait_until(is_shown)


async def test_no_account_is_named(poll_leaderboard):
    user = await offload(make_user, "ann")
    await offload(charge, users=[user.pk + offset for offset in range(5)], at=timezone.now())

    assert not {"user", "user_id", "users", "owner"} & set((await poll_leaderboard())["data"][0])


@pytest.mark.parametrize("cursor", ["x", "", "%00", "AAAA", "a" * 79, "lAHA", "kw", "🎧", "null"])
async def test_an_invalid_cursor_is_refused_with_a_code(poll_leaderboard, cursor):
    error = (await poll_leaderboard(400, after=cursor))["error"]

    assert error["code"] == "invalid_cursor"


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"after": "a" * 81}])
async def test_parameters_out_of_bounds_are_refused(poll_leaderboard, query):
    assert (await poll_leaderboard(400, **query))["error"]["code"] == "invalid_request"
