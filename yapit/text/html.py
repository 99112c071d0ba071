"""Safe HTML: what is written by an author is escaped, what is linked is checked."""

import re
from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qsl, urlsplit

Mark = tuple[str, str]
"""An opening tag and its closing tag."""

# Pictures of ours. Any other path would make the reader's browser ask this server for it, with its cookie.
LOCAL_IMAGES = "/static/"
_LINK_SCHEMES = frozenset({"http", "https", "mailto"})
_IMAGE_SCHEMES = frozenset({"http", "https"})
_LAYOUT_VALUE = re.compile(r"[0-9]{1,4}")


def link_mark(url: str) -> Mark | None:
    if _scheme(url) not in _LINK_SCHEMES:
        return None
    return f'<a href="{escape(url)}" rel="noopener nofollow">', "</a>"


def image(url: str, alt: str) -> str:
    """The picture, or its description if the address is not one to load from."""
    if not (_scheme(url) in _IMAGE_SCHEMES or _is_local_image(url)):
        return escape(alt)
    return (
        f'<img src="{escape(url)}" alt="{escape(alt)}" loading="lazy" referrerpolicy="no-referrer"'
        f"{_layout(url)}>"
    )


def wrap(tag: str, inner: str, attributes: str = "") -> str:
    """The element, or nothing if there is nothing in it."""
    return f"<{tag}{attributes}>{inner}</{tag}>" if inner else ""


def spans(segments: Iterable[tuple[int | None, tuple[Mark, ...], str]]) -> str:
    """Write (block, marks, html) in a row; a block's span is closed where a mark begins or ends."""
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
    """The scheme of an absolute address that browsers and we read alike, else an empty string."""
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
    """`w` (width in per cent) and `row` (pictures of one row) steer the layout; the address stays whole."""
    try:
        fields = dict(parse_qsl(urlsplit(url).query, max_num_fields=50))
    except ValueError:
        return ""
    names = {"w": "data-width", "row": "data-row"}
    return "".join(
        f' {names[name]}="{fields[name]}"' for name in names if _LAYOUT_VALUE.fullmatch(fields.get(name, ""))
    )
