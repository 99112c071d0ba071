"""Host and Origin checks for connections without an API key. Pure except for the settings.

Browsers send cookies, and connect to local servers, on behalf of any page. So a connection without a key must
name an allowed host (against DNS rebinding) and come from a page of this site or of a trusted origin.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from yapit.errors import OriginRefused

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_PORTS = {"http": 80, "https": 443}
HTTP = {"ws": "http", "wss": "https"}


def check_host(headers: Mapping[bytes, bytes]) -> None:
    """Raises OriginRefused unless the Host header matches ALLOWED_HOSTS."""
    domain, _ = split_domain_port(_text(headers, b"host"))
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        raise OriginRefused("This host name is not served here; the operator can add it to ALLOWED_HOSTS.")


def check_origin(headers: Mapping[bytes, bytes], scheme: str, *, required: bool) -> None:
    """Raises OriginRefused for a foreign Origin header, and for a missing one if it is `required`."""
    origin = _text(headers, b"origin")
    if not origin and not required:
        return
    own = f"{HTTP.get(scheme, scheme)}://{_text(headers, b'host')}"
    if not (_is_same(origin, own) or _is_trusted(origin)):
        raise OriginRefused(
            "This needs an Origin header that names this site, or an API key."
            if not origin
            else "Pages of other sites may not use this; the operator can add theirs to TRUSTED_ORIGINS."
        )


def check_not_cross_site(headers: Mapping[bytes, bytes]) -> None:
    """Raises OriginRefused if the browser marks the request as cross-site."""
    if _text(headers, b"sec-fetch-site") == "cross-site":
        raise OriginRefused("Pages of other sites may not use this without an API key.")


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip().lower()


def _is_same(origin: str, other: str) -> bool:
    parts = _parts(origin)
    return parts is not None and parts == _parts(other)


def _is_trusted(origin: str) -> bool:
    parts = _parts(origin)
    if parts is None:
        return False
    return any(_covers(_parts(trusted.lower()), parts) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def _covers(trusted: tuple[str, str, int] | None, origin: tuple[str, str, int]) -> bool:
    if trusted is None or (trusted[0], trusted[2]) != (origin[0], origin[2]):
        return False
    if trusted[1].startswith("*."):
        return origin[1].endswith(trusted[1][1:])
    return trusted[1] == origin[1]


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None if the text is not an origin (`null`, a URL with a path, malformed)."""
    try:
        url = urlsplit(origin)
        port = url.port
    except ValueError:
        return None
    if url.scheme not in DEFAULT_PORTS or not url.hostname or url.path or url.query or url.username:
        return None
    return url.scheme, url.hostname, port or DEFAULT_PORTS[url.scheme]
