"""/v1/ws/ticket: what opens one WebSocket without a header."""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Router, Status

from config.redis import clients as redis_clients
from yapit.accounts import tickets
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import answers
from yapit.api.v1 import schemas
from yapit.errors import RateLimited

router = Router(tags=["account"])


@router.post(
    "/ticket",
    response=answers(schemas.Ticket, 429, status=HTTPStatus.CREATED),
    summary="Get a one-time ticket",
)
async def create_ticket(request: HttpRequest, response: HttpResponse) -> Status[schemas.Ticket]:
    """Opens one WebSocket as `/v1/ws/tts?ticket=...`, within 30 seconds, for clients that can set no headers.

    It stands for the key or log-in that asked for it: what ends that closes the socket. One that a log-in
    asked for opens sockets from this site's own pages only.
    """
    identity = identity_of(request)
    redis = redis_clients.hot()
    if wait := await tickets.throttle(redis, identity.user_id):
        raise RateLimited(wait)
    response["Cache-Control"] = "no-store"
    ticket = await tickets.issue(redis, identity)
    return Status(HTTPStatus.CREATED, schemas.Ticket(ticket=ticket, expires_in=settings.TICKET_SECONDS))
