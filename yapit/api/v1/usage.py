"""/v1/usage: usage and balances of the account, as JSON and CSV."""

from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router

from config.database.offload import offload
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import responses
from yapit.api.v1.usage_schemas import UsageOut
from yapit.usage import account_usage

router = Router(tags=["usage"])
MONTH: Any = Query(  # type: ignore[type-arg]  # generic in the stubs only
    None,
    description="Month in UTC. Default: the current month.",
    pattern=r"^[12][0-9]{3}-(0[1-9]|1[0-2])$",
    examples=["2026-01"],
)

CSV_RESPONSE = {
    "responses": {200: {"description": "CSV table.", "content": {"text/csv": {"schema": {"type": "string"}}}}}
}


@router.get("/usage", response=responses(UsageOut, 400), summary="Get your usage")
async def get_usage(request: HttpRequest, period: str | None = MONTH) -> UsageOut:
    """Usage by voice, model, document and day. Requested characters that are not charged yet are `pending`,
    and subtracted from `available` only.
    """
    month = account_usage.period_named(period)
    return UsageOut.of(await offload(account_usage.usage_in, identity_of(request).user_id, month))


@router.get(
    "/usage.csv", response=responses(None, 400), summary="Download your usage", openapi_extra=CSV_RESPONSE
)
async def get_usage_csv(request: HttpRequest, period: str | None = MONTH) -> StreamingHttpResponse:
    """All uses, grants, corrections and rollovers of the month as CSV, oldest first."""
    month = account_usage.period_named(period)
    name = f"usage-{month.start:%Y-%m}.csv"
    return StreamingHttpResponse(
        account_usage.csv_of(identity_of(request).user_id, month),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
