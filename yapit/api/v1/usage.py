"""/v1/usage: what the account used, and what it may still use."""

from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router

from config.database.offload import offload
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import answers
from yapit.api.v1.usage_schemas import UsageOut
from yapit.usage import account_usage

router = Router(tags=["usage"])
MONTH: Any = Query(  # type: ignore[type-arg]  # generic in the stubs only
    None,
    description="A month in UTC. Left out: the current one.",
    pattern=r"^[12][0-9]{3}-(0[1-9]|1[0-2])$",
    examples=["2026-01"],
)

CSV_ANSWER = {
    "responses": {200: {"description": "A table.", "content": {"text/csv": {"schema": {"type": "string"}}}}}
}


@router.get("/usage", response=answers(UsageOut, 400), summary="See what you used")
async def get_usage(request: HttpRequest, period: str | None = MONTH) -> UsageOut:
    """By voice, model, document and day. What was asked for and is not charged yet is `pending`, and in no
    other number but `available`.
    """
    month = account_usage.period_named(period)
    return UsageOut.of(await offload(account_usage.usage_in, identity_of(request).user_id, month))


@router.get(
    "/usage.csv", response=answers(None, 400), summary="Download what you used", openapi_extra=CSV_ANSWER
)
async def get_usage_csv(request: HttpRequest, period: str | None = MONTH) -> StreamingHttpResponse:
    """Each use, gift, correction and rollover of the month, oldest first, as CSV."""
    month = account_usage.period_named(period)
    name = f"usage-{month.start:%Y-%m}.csv"
    return StreamingHttpResponse(
        account_usage.csv_of(identity_of(request).user_id, month),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
