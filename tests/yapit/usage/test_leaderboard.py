"""What was heard most, by day: counted, rolled up, and never about anybody in particular."""

import json
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


def speak(voice="aria", users=range(1, 6), characters=10, at=NOON, document=None):
    """Each of these accounts has that much spoken, in a voice that is everyone's unless there is another."""
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
def test_voices_are_ranked_by_what_they_spoke():
    speak("aria", characters=10)
    speak("bruno", characters=30, users=range(1, 8))

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
def test_what_fewer_than_five_heard_is_not_shown_however_much_it_was():
    speak("aria", users=[1, 2, 3, 4] * 10, characters=1000)

    assert shown() == []


@pytest.mark.django_db
def test_a_deleted_account_counts_as_the_listener_it_was():
    users = [make_user() for _ in range(5)]
    speak(users=[user.pk for user in users])
    delete_account(users[0].pk)

    assert places() == [("2026-03-10", 1, "aria", 5)]


@pytest.mark.django_db
def test_a_voice_that_is_not_everyones_is_not_named_even_when_it_is_gone():
    owner = make_user()
    make_voice("aria", owner=owner)
    make_voice("bruno", approved=False)
    for voice in ("aria", "bruno", "clara"):
        speak(voice)
    assert [row["voice"] for row in shown()] == ["clara"]

    leaderboard.roll_up(NOON + timedelta(days=1))
    delete_account(owner.pk)

    assert [row["voice"] for row in shown(DAY + timedelta(days=1))] == ["clara"]


@pytest.mark.django_db
def test_public_documents_are_ranked_by_all_who_listened():
    public = make_document(is_public=True, title="For all")
    private = make_document(title="For me")
    speak(users=[1, 2], document=public.pk)
    speak(users=range(1, 9), document=private.pk)
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
def test_a_document_that_is_not_public_any_more_is_not_named_on_any_day():
    document = make_document(is_public=True, title="For all")
    speak(users=range(1, 6), document=document.pk)
    leaderboard.roll_up(NOON + timedelta(days=2))
    assert "For all" in str(shown(DAY + timedelta(days=2)))

    documents.change(document.pk, document.owner_id, is_public=False)

    assert "document" not in str(shown(DAY + timedelta(days=2)))


@pytest.mark.django_db
def test_only_so_many_places_and_days_are_shown():
    for number in range(leaderboard.PLACES + 5):
        speak(f"voice{number}")
    speak("late", at=NOON - timedelta(days=40))

    assert len(shown()) == leaderboard.PLACES
    assert shown(DAY + timedelta(days=40)) == []


# --- Rolling up -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_day_looks_the_same_before_and_after_it_is_rolled_up():
    speak()
    before = places(DAY + timedelta(days=1))

    assert DAY in leaderboard.roll_up(NOON + timedelta(days=1))

    assert LeaderboardRow.objects.count() == 1
    assert places(DAY + timedelta(days=1)) == before == [("2026-03-10", 1, "aria", 5)]


@pytest.mark.django_db
def test_rolling_up_again_changes_nothing():
    def written():
        return list(
            LeaderboardRow.objects.order_by("day", "kind", "rank").values_list("day", "rank", "voice")
        )

    speak("aria")
    speak("bruno", characters=30)
    leaderboard.roll_up(NOON + timedelta(hours=13))
    before, seen = written(), shown(DAY + timedelta(days=1))

    for _ in range(2):
        assert DAY in leaderboard.roll_up(NOON + timedelta(hours=13))

    assert (written(), shown(DAY + timedelta(days=1))) == (before, seen)
    assert len(before) == 2


@pytest.mark.django_db
def test_usage_that_is_told_late_is_counted_until_the_day_has_settled():
    just_after = datetime(2026, 3, 11, 0, 30, tzinfo=UTC)
    speak(users=range(1, 6))
    leaderboard.roll_up(just_after)
    speak(users=range(6, 8))
    leaderboard.roll_up(just_after + timedelta(hours=1))
    assert places(DAY + timedelta(days=1)) == [("2026-03-10", 1, "aria", 7)]

    leaderboard.roll_up(just_after + timedelta(hours=3))

    assert DAY not in leaderboard.roll_up(just_after + timedelta(hours=4))


@pytest.mark.django_db
def test_days_that_nobody_rolled_up_are_caught_up():
    speak()

    leaderboard.roll_up(NOON + timedelta(days=5))
    UsageDay.objects.all().delete()

    assert places(DAY + timedelta(days=5)) == [("2026-03-10", 1, "aria", 5)]
    assert LeaderboardDay.objects.count() == leaderboard.CAUGHT_UP_DAYS


@pytest.mark.django_db
def test_today_is_never_rolled_up(capsys):
    speak(at=timezone.now())

    call_command("roll_up_leaderboard")

    assert not LeaderboardRow.objects.exists()
    assert len(capsys.readouterr().out.split()) == leaderboard.CAUGHT_UP_DAYS


@pytest.mark.django_db(transaction=True)
def test_the_scheduler_does_not_wait_for_it(redis):
    speak(at=timezone.now() - timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [leaderboard.ROLLING_UP])
        leaderboard.roll_up_in_thread(redis)
        leaderboard.roll_up_in_thread(redis)
        assert not LeaderboardDay.objects.exists()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [leaderboard.ROLLING_UP])

    wait_until(lambda: not leaderboard._beside.locked())
    assert LeaderboardRow.objects.count() == 1


# --- Polling --------------------------------------------------------------------------------------------


@pytest.fixture
def polled(settings, transactional_db):
    settings.MULTI_USER = True
    caching.flush_all()

    async def poll(status=200, **query):
        answer = await Client().get(PATH, query)
        assert answer.status_code == status, answer.content
        return answer.json()

    return poll


async def test_who_polls_gets_what_is_new_then_nothing_then_304(polled):
    await offload(speak, at=timezone.now())
    first = await polled()
    assert [row["voice"] for row in first["data"]] == ["aria"]

    path = f"{PATH}?after={first['cursor']}"
    nothing = await Client().get(path)
    again = await Client().get(path, headers={"if-none-match": nothing["ETag"]})

    assert nothing.json() == {"object": "list", "data": [], "cursor": first["cursor"], "has_more": False}
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", nothing["ETag"])
    assert again["Cache-Control"] == "public, max-age=15"


async def test_when_today_has_changed_its_rows_come_again(polled):
    await offload(speak, at=timezone.now())
    first = await polled()
    await offload(speak, "bruno", characters=99, at=timezone.now())
    caching.flush_all()

    new = await polled(after=first["cursor"])

    assert [(row["rank"], row["voice"]) for row in new["data"]] == [(1, "bruno"), (2, "aria")]
    assert (await polled(after=new["cursor"]))["data"] == []


async def test_500_polls_count_once(polled, monkeypatch):
    counted, recent = [], leaderboard.recent
    monkeypatch.setattr(leaderboard, "recent", lambda: counted.append(1) or recent())

    for number in range(100):
        await polled(limit=number % 100 + 1)

    assert len(counted) == 1


async def test_a_rolled_up_day_is_told_at_once(polled, redis):
    await caching.listen().subscribed()
    await offload(speak, at=timezone.now() - timedelta(days=3))
    assert (await polled())["data"] == []

    await offload(leaderboard.roll_up)

    async def is_shown():
        return len((await polled())["data"]) == 1

    await async_wait_until(is_shown)


async def test_no_account_is_named(polled):
    user = await offload(make_user, "somebody")
    await offload(speak, users=[user.pk + offset for offset in range(5)], at=timezone.now())

    assert not {"user", "user_id", "users", "owner"} & set((await polled())["data"][0])


@pytest.mark.parametrize("cursor", ["x", "", "%00", "AAAA", "a" * 79, "lAHA", "kw", "🎧", "null"])
async def test_a_cursor_that_is_none_is_refused_with_a_code(polled, cursor):
    error = (await polled(400, after=cursor))["error"]

    assert error["code"] == "invalid_cursor"


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"after": "a" * 81}])
async def test_parameters_out_of_bounds_are_refused(polled, query):
    assert (await polled(400, **query))["error"]["code"] == "invalid_request"
