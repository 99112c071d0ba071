"""Template context of the navigation between pages."""

from typing import Any

from django.conf import settings


def navigation(current: str) -> dict[str, Any]:
    """Context of a page: whether there are log-ins, and the name of the page itself."""
    return {"multi_user": settings.MULTI_USER, "here": current}
