"""/v1/leaderboard: what is heard most. Public, and made to be polled."""

from functools import partial

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.params.functions import Query

from config import caching
from config.caching import Body, TtlResponseCache
from config.database.offload import offload
from yapit import invalidation
from yapit.api.http import http_cache
from yapit.api.http.auth import AccountOrAnybody
from yapit.api.http.responses import conditional_answers
from yapit.api.v1 import schemas
from yapit.errors import InvalidCursor
from yapit.usage import leaderboard, leaderboard_pages
from yapit.usage.leaderboard_pages import LONGEST_CURSOR, BadCursor

router = Router(tags=["leaderboard"], auth=AccountOrAnybody())
days = TtlResponseCache("leaderboard", follows=[invalidation.LEADERBOARD, invalidation.CATALOG])
# Of one state of the days each, so they need not be told of any change.
_pages: caching.MemoryCache[tuple[str, str | None, int], Body] = caching.MemoryCache(
    "leaderboard-pages", max_bytes=4 * 1024 * 1024, seconds=60
)


@router.get(
    "/recent", response=conditional_answers(schemas.Leaderboard, 400), summary="What was heard most, by day"
)
async def recent(
    request: HttpRequest,
    after: str | None = Query(None, max_length=LONGEST_CURSOR, description="The `cursor` of an answer."),
    limit: int = Query(50, ge=1, le=100),
) -> HttpResponse:
    """Of the last 30 days (UTC), newest last. Without `after`: the newest rows; with it, what follows.

    Today's rows change: when they have, all of them come again, and replace those that you have of that day.
    When nothing is new the list is empty; ask with If-None-Match, and it is not even sent.
    """
    key, build = ("days",), partial(offload, _read_days)
    window = await days.get(key, build)
    make = partial(_make_page, window, after, limit)
    page = await _pages.aget_or_fetch((window.etag, after, limit), make)
    return http_cache.public(request, page, partial(days.holds, key, build, window.etag))


def _read_days() -> bytes:
    return leaderboard_pages.pack(leaderboard.recent())


async def _make_page(window: Body, after: str | None, limit: int) -> Body:
    try:
        return Body.of(leaderboard_pages.page(leaderboard_pages.unpack(window.data), after, limit))
    except BadCursor:
        raise InvalidCursor("This is no cursor of an earlier answer.") from None
