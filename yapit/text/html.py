"""Safe HTML: escaped text, checked addresses, spans of blocks."""

import re
from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qsl, urlsplit

Mark = tuple[str, str]
"""An opening tag and its closing tag."""

# Images of this application. Any other path would send the reader's cookie to this server's routes.
LOCAL_IMAGES = "/static/"
_LINK_SCHEMES = frozenset({"http", "https", "mailto"})
_IMAGE_SCHEMES = frozenset({"http", "https"})
_LAYOUT_VALUE = re.compile(r"[0-9]{1,4}")


def link_mark(url: str) -> Mark | None:
    """The tags of a link, or None if the address is not allowed."""
    if _scheme(url) not in _LINK_SCHEMES:
        return None
    return f'<a href="{escape(url)}" rel="noopener nofollow">', "</a>"


def image(url: str, alt: str) -> str:
    """An image element, or the description if the address is not allowed."""
    if not (_scheme(url) in _IMAGE_SCHEMES or _is_local_image(url)):
        return escape(alt)
    return (
        f'<img src="{escape(url)}" alt="{escape(alt)}" loading="lazy" referrerpolicy="no-referrer"'
        f"{_layout(url)}>"
    )


def wrap(tag: str, inner: str, attributes: str = "") -> str:
    """The element, or an empty string if it would be empty."""
    return f"<{tag}{attributes}>{inner}</{tag}>" if inner else ""


def spans(segments: Iterable[tuple[int | None, tuple[Mark, ...], str]]) -> str:
    """Write (block, marks, html) in order; a block's span is closed where a mark begins or ends."""
    out: list[str] = []
    block: int | None = None
    marks: tuple[Mark, ...] = ()
    for next_block, next_marks, html in segments:
        if (next_block, next_marks) != (block, marks):
            if block is not None:
                out.append("</span>")
            out.extend(_change(marks, next_marks))
            if next_block is not None:
                out.append(f'<span class="block" data-block="{next_block}">')
            block, marks = next_block, next_marks
        out.append(html)
    if block is not None:
        out.append("</span>")
    out.extend(_change(marks, ()))
    return "".join(out)


def _change(before: tuple[Mark, ...], after: tuple[Mark, ...]) -> Iterable[str]:
    kept = 0
    while kept < min(len(before), len(after)) and before[kept] == after[kept]:
        kept += 1
    yield from (closing for _, closing in reversed(before[kept:]))
    yield from (opening for opening, _ in after[kept:])


def _scheme(url: str) -> str:
    """The scheme of an absolute address, or an empty string where browsers might parse it differently."""
    if re.search(r"[\s\\\x00-\x1f]", url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.scheme if parts.netloc or parts.scheme == "mailto" else ""


def _is_local_image(url: str) -> bool:
    return url.startswith(LOCAL_IMAGES) and not re.search(r"\.\.|\\|%2e|[\s\x00-\x1f]", url, re.IGNORECASE)


def _layout(url: str) -> str:
    """Layout attributes from the query parameters `w` (width in per cent) and `row` (images of one row)."""
    try:
        fields = dict(parse_qsl(urlsplit(url).query, max_num_fields=50))
    except ValueError:
        return ""
    names = {"w": "data-width", "row": "data-row"}
    return "".join(
        f' {names[name]}="{fields[name]}"' for name in names if _LAYOUT_VALUE.fullmatch(fields.get(name, ""))
    )
