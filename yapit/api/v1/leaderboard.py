"""/v1/leaderboard: most played voices and documents by day. Public, designed for polling."""

from functools import partial

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.params.functions import Query

from config import caching
from config.caching import Body, TtlResponseCache
from config.database.offload import offload
from yapit import invalidation
from yapit.api.http import http_cache
from yapit.api.http.auth import OptionalAccount
from yapit.api.http.responses import conditional_responses
from yapit.api.v1 import schemas
from yapit.errors import InvalidCursor
from yapit.usage import leaderboard, leaderboard_pages
from yapit.usage.leaderboard_pages import LONGEST_CURSOR, BadCursor

router = Router(tags=["leaderboard"], auth=OptionalAccount())
days = TtlResponseCache("leaderboard", follows=[invalidation.LEADERBOARD, invalidation.CATALOG])
# Keyed by the entity tag of the days, so no invalidation is needed.
_pages: caching.MemoryCache[tuple[str, str | None, int], Body] = caching.MemoryCache(
    "leaderboard-pages", max_bytes=4 * 1024 * 1024, seconds=60
)


@router.get(
    "/recent",
    response=conditional_responses(schemas.Leaderboard, 400),
    summary="List the most played voices and documents",
)
async def recent(
    request: HttpRequest,
    after: str | None = Query(
        None, max_length=LONGEST_CURSOR, description="`cursor` of an earlier response."
    ),
    limit: int = Query(50, ge=1, le=100),
) -> HttpResponse:
    """Rows of the last 30 days (UTC), newest last: without `after` the newest, with it those that follow.

    When rows of a day have changed, all rows of that day are returned again and replace the earlier ones.
    Without new rows the list is empty, or the response is 304 with If-None-Match.
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
