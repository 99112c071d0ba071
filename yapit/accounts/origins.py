"""Which host names are ours and which pages may use a browser's own credentials. Pure but for the settings.

Without a key, the browser itself is the credential: any page that somebody has open could use it. So a
connection without a key must ask for a name of ours (or DNS could be rebound to us) and come from a page
of ours.
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
    domain, _ = split_domain_port(_text(headers, b"host"))
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        raise OriginRefused("This host name is not served here; the operator can add it to ALLOWED_HOSTS.")


def check_origin(headers: Mapping[bytes, bytes], scheme: str, *, demanded: bool) -> None:
    """Refuse a page that is not ours. Where none is named, `demanded` decides."""
    origin = _text(headers, b"origin")
    if not origin and not demanded:
        return
    own = f"{HTTP.get(scheme, scheme)}://{_text(headers, b'host')}"
    if not (_is_same(origin, own) or _is_trusted(origin)):
        raise OriginRefused(
            "This needs an Origin header that names this site, or an API key."
            if not origin
            else "Pages of other sites may not use this; the operator can add theirs to TRUSTED_ORIGINS."
        )


def check_not_cross_site(headers: Mapping[bytes, bytes]) -> None:
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


def _covers(trusted: tuple[str, str, int] | None, asked: tuple[str, str, int]) -> bool:
    if trusted is None or (trusted[0], trusted[2]) != (asked[0], asked[2]):
        return False
    if trusted[1].startswith("*."):
        return asked[1].endswith(trusted[1][1:])
    return trusted[1] == asked[1]


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None for what is no origin (`null`, a path behind it, nonsense)."""
    try:
        url = urlsplit(origin)
        port = url.port
    except ValueError:
        return None
    if url.scheme not in DEFAULT_PORTS or not url.hostname or url.path or url.query or url.username:
        return None
    return url.scheme, url.hostname, port or DEFAULT_PORTS[url.scheme]
