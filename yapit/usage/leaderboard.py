"""Leaderboard: the most played voices and public documents of each day, from a roll-up or counted live.

Listeners are counted by user id, so a deleted account still counts, and accounts are never named. Voices and
documents with fewer than FEWEST_LISTENERS listeners are left out.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import msgspec
from django.db import close_old_connections, connection, transaction
from django.db.models import Count, Sum
from django.utils import timezone
from redis import Redis

from billing.models import LedgerEntry, UsageDay
from config.redis.transient import TRANSIENT
from yapit import invalidation
from yapit.models import Document, LeaderboardDay, LeaderboardRow, Playback, Voice
from yapit.models.leaderboard import FEWEST_LISTENERS
from yapit.usage.leaderboard_pages import Day

logger = logging.getLogger(__name__)

PLACES = 50  # per kind and day
SHOWN_DAYS = 30
SETTLED = timedelta(hours=3)  # a day is rolled up again until so long after its end, since usage arrives late
CAUGHT_UP_DAYS = 7  # how far back missing days are rolled up
ROLLING_UP = 0x6C656164  # key of the advisory lock: "lead"

Kind = LeaderboardRow.Kind
_encoder = msgspec.json.Encoder()
_thread_lock = threading.Lock()


# --- Reading ----------------------------------------------------------------------------------------------


def recent(today: date | None = None) -> list[Day]:
    """The last SHOWN_DAYS days, newest last; days that are not rolled up are counted now."""
    today = today or timezone.now().date()
    first = today - timedelta(days=SHOWN_DAYS - 1)
    rows: dict[date, list[LeaderboardRow]] = defaultdict(list)
    for row in LeaderboardRow.objects.filter(day__gte=first, day__lt=today):
        rows[row.day].append(row)
    for day in _open_days(today):
        rows[day] = list(_count(day))
    voices, titles = _public_voices(), _public_titles(rows.values())
    return [Day(day, list(_shown(rows[day], voices, titles))) for day in sorted(rows)]


def _open_days(today: date) -> list[date]:
    yesterday = today - timedelta(days=1)
    is_rolled_up = LeaderboardDay.objects.filter(day=yesterday).exists()
    return [today] if is_rolled_up else [yesterday, today]


def _public_voices() -> set[str]:
    """Slugs of the current public voices. A deleted voice may have been private, so it is not among them."""
    return set(Voice.objects.filter(owner=None, approved=True).values_list("slug", flat=True))


def _public_titles(days: Iterable[Sequence[LeaderboardRow]]) -> dict[UUID | None, str]:
    documents = {row.document for rows in days for row in rows if row.document is not None}
    public = Document.objects.filter(pk__in=documents, is_public=True)
    return dict(public.values_list("pk", "title"))


def _shown(
    rows: Sequence[LeaderboardRow], voices: set[str], titles: dict[UUID | None, str]
) -> Iterator[bytes]:
    for row in rows:
        rank = {"day": row.day, "kind": row.kind, "rank": row.rank}
        if row.kind == Kind.DOCUMENT:
            if row.document in titles:
                document = {"id": row.document, "title": titles[row.document], "listeners": row.listeners}
                yield _encoder.encode(rank | document)
        elif row.voice in voices:
            voice = {"voice": row.voice, "model": row.model, "characters": row.characters}
            yield _encoder.encode(rank | voice | {"listeners": row.listeners})


# --- Counting ---------------------------------------------------------------------------------------------


def _count(day: date) -> Iterator[LeaderboardRow]:
    for rank, (voice, model, characters, listeners) in enumerate(_voices(day), 1):
        yield LeaderboardRow(
            day=day,
            kind=Kind.VOICE,
            rank=rank,
            voice=voice,
            model=model,
            characters=characters,
            listeners=listeners,
        )
    for rank, (document, listeners) in enumerate(_documents(day), 1):
        yield LeaderboardRow(day=day, kind=Kind.DOCUMENT, rank=rank, document=document, listeners=listeners)


def _voices(day: date) -> Iterable[tuple[str, str, int, int]]:
    return (
        UsageDay.objects.filter(day=day)
        .values("voice", "model")
        .annotate(spoken=Sum("characters"), listeners=Count("user_id", distinct=True))
        .filter(listeners__gte=FEWEST_LISTENERS)
        .order_by("-spoken", "voice", "model")
        .values_list("voice", "model", "spoken", "listeners")[:PLACES]
    )


def _documents(day: date) -> list[tuple[UUID, int]]:
    """(document, listeners) of public documents. A listener was charged for a block or moved a position."""
    begin = datetime.combine(day, time(), UTC)
    end = begin + timedelta(days=1)
    tables = {model.__name__: model._meta.db_table for model in (LedgerEntry, Playback, Document)}
    query = """
        SELECT played.document, count(*) FROM (
            SELECT document, user_id FROM {LedgerEntry}
            WHERE kind = 'usage' AND document IS NOT NULL AND occurred_at >= %s AND occurred_at < %s
            UNION
            SELECT document_id, user_id FROM {Playback} WHERE played_at >= %s AND played_at < %s
        ) AS played JOIN {Document} AS document ON document.id = played.document AND document.is_public
        GROUP BY played.document HAVING count(*) >= %s ORDER BY count(*) DESC, played.document LIMIT %s
    """
    with connection.cursor() as cursor:
        cursor.execute(query.format(**tables), [begin, end, begin, end, FEWEST_LISTENERS, PLACES])
        return list(cursor.fetchall())


# --- Rolling up -------------------------------------------------------------------------------------------


def roll_up(now: datetime | None = None) -> list[date]:
    """Roll up past days that are missing or have not settled, and return them. Repeatable."""
    now = now or timezone.now()
    last_days = [now.date() - timedelta(days=ago) for ago in range(CAUGHT_UP_DAYS, 0, -1)]
    settled = {
        day
        for day, rolled_up_at in LeaderboardDay.objects.filter(day__in=last_days).values_list()
        if rolled_up_at >= datetime.combine(day + timedelta(days=1), time(), UTC) + SETTLED
    }
    unsettled = [day for day in last_days if day not in settled]
    for day in unsettled:
        _roll_up_day(day, now)
    return unsettled


@transaction.atomic
def _roll_up_day(day: date, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLING_UP])
    LeaderboardRow.objects.filter(day=day).delete()
    LeaderboardRow.objects.bulk_create(_count(day))
    LeaderboardDay.objects.update_or_create(day=day, defaults={"rolled_up_at": now})
    invalidation.leaderboard_changed()


def roll_up_in_thread(redis: Redis) -> None:
    """`roll_up` in a thread, one at a time: other tasks of the scheduler must not wait for PostgreSQL."""
    if _thread_lock.acquire(blocking=False):
        threading.Thread(target=_roll_up_and_release, name="leaderboard", daemon=True).start()


def _roll_up_and_release() -> None:
    try:
        close_old_connections()
        roll_up()
    except TRANSIENT as error:
        logger.warning("The leaderboard was not rolled up: %s", type(error).__name__)
    finally:
        connection.close()
        _thread_lock.release()
