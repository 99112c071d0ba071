"""/v1/ws/ticket: one-time tickets for WebSockets of clients that cannot send headers."""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Router, Status

from config.redis import clients as redis_clients
from yapit.accounts import tickets
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import responses
from yapit.api.v1 import schemas
from yapit.errors import RateLimited

router = Router(tags=["account"])


@router.post(
    "/ticket",
    response=responses(schemas.Ticket, 429, status=HTTPStatus.CREATED),
    summary="Create a one-time ticket",
)
async def create_ticket(request: HttpRequest, response: HttpResponse) -> Status[schemas.Ticket]:
    """Opens one WebSocket as `/v1/ws/tts?ticket=...` or `/v1/ws/events?ticket=...` within 30 seconds, for
    clients that cannot set headers.

    The ticket represents the key or session that created it: when that ends, the WebSocket is closed. A
    ticket of a session is accepted from pages of this site only.
    """
    identity = identity_of(request)
    redis = redis_clients.hot()
    if wait := await tickets.throttle(redis, identity.user_id):
        raise RateLimited(wait)
    response["Cache-Control"] = "no-store"
    ticket = await tickets.issue(redis, identity)
    return Status(HTTPStatus.CREATED, schemas.Ticket(ticket=ticket, expires_in=settings.TICKET_SECONDS))
