"""Stands in front of Django for those who poll: who has what a response cache would serve hears so at once.

Django takes most of a millisecond to find out the same. It answers first, once for each address, and says
here what it answered with; everything else, and whatever is not current any more, goes on to it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse

from config.observability.logging import acceptable, log_access
from yapit.accounts.identity import identify_scope
from yapit.api.http import conditional
from yapit.api.http.auth import WITHOUT_CREDENTIALS
from yapit.api.http.body_limit import Application, Receive, Scope, Send
from yapit.errors import AuthenticationUnavailable, NotAuthenticated, OriginRefused

ADDRESSES = 1000
LONGEST_QUERY = 200
REPEATED = ("ETag", "Cache-Control", "Vary")
CREDENTIALS = frozenset({b"authorization", b"cookie"})
Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Answered:
    tag: str  # without quotes
    headers: tuple[tuple[bytes, bytes], ...]
    is_current: Callable[[], bool]
    is_for_anybody: bool  # who brings credentials may get another


_answered: "OrderedDict[tuple[str, bytes], _Answered]" = OrderedDict()


def remember(
    request: HttpRequest, answer: HttpResponse, is_current: Callable[[], bool], *, is_for_anybody: bool
) -> None:
    """That this was answered, for as long as it is current. For answers that are the same for everybody."""
    scope = getattr(request, "scope", None)
    is_whole = answer.status_code in (200, 304) and request.method == "GET"
    if scope is None or not is_whole or len(scope["query_string"]) > LONGEST_QUERY:
        return
    headers = [(name.lower().encode(), answer[name].encode()) for name in REPEATED if name in answer]
    address = (scope["path"], scope["query_string"])
    _answered[address] = _Answered(answer["ETag"].strip('"'), tuple(headers), is_current, is_for_anybody)
    _answered.move_to_end(address)
    if len(_answered) > ADDRESSES:
        _answered.popitem(last=False)


class Front:
    def __init__(self, behind: Application) -> None:
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        answered = _known_to_client(scope, headers)
        if answered is None or not await _may_ask(scope):
            await self._behind(scope, receive, send)
            return
        request_id = acceptable(headers.get(b"x-request-id", b"").decode("latin-1")).encode()
        sent = [*answered.headers, (b"x-request-id", request_id)]
        await send({"type": "http.response.start", "status": 304, "headers": sent})
        await send({"type": "http.response.body", "body": b""})
        log_access("GET", scope["path"], 304, time.perf_counter() - begun)


def _known_to_client(scope: Scope, headers: Headers) -> _Answered | None:
    tags = headers.get(b"if-none-match")
    if tags is None or scope["method"] != "GET" or b"if-match" in headers:
        return None
    answered = _answered.get((scope["path"], scope["query_string"]))
    if answered is None or not conditional.is_known(tags.decode("latin-1"), answered.tag):
        return None
    if answered.is_for_anybody and not CREDENTIALS.isdisjoint(headers):
        return None
    return answered if answered.is_current() else None


async def _may_ask(scope: Scope) -> bool:
    """False also where nobody can say; Django says then what is the matter."""
    try:
        await identify_scope(scope)
    except NotAuthenticated as refused:
        return refused.code in WITHOUT_CREDENTIALS
    except (OriginRefused, AuthenticationUnavailable):
        return False
    return True
