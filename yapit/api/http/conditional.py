"""Conditional and range requests (RFC 9110). Pure."""

import re

ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
RANGE_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
BLANKS = " \t"
LONGEST_NUMBER = 18  # digits; longer than any file, and int() refuses thousands of digits
PAST_ANY_END = (10**LONGEST_NUMBER, None)


class Unsatisfiable(Exception):
    """The range begins past the end."""


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether If-None-Match contains this entity tag (without quotes) or is `*`. Weak comparison."""
    if if_none_match is None:
        return False
    return if_none_match.strip(BLANKS) == "*" or tag in ENTITY_TAG.findall(if_none_match)


def may_be_partial(if_range: str | None, checksum: str) -> bool:
    """Whether If-Range allows a partial response: it names the checksum (strong comparison) or is absent."""
    return if_range is None or if_range.strip(BLANKS) in (checksum, f'"{checksum}"')


def bounds(value: str | None) -> tuple[int, int | None] | None:
    """Bounds of a Range header with a single byte range, as those of a slice.

    None means the complete representation, also for several ranges and for other or invalid units.
    """
    unit, _, ranges = (value or "").strip(BLANKS).partition("=")
    specs = [spec.strip(BLANKS) for spec in ranges.split(",") if spec.strip(BLANKS)]
    match = RANGE_SPEC.fullmatch(specs[0]) if unit.lower() == "bytes" and len(specs) == 1 else None
    if match is None or match[0] == "-":
        return None
    first, last = _number(match[1]), _number(match[2])
    if not match[1]:
        return (-last, None) if last else PAST_ANY_END
    if not match[2]:
        return first, None
    return (first, last + 1) if first <= last else None


def span(value: str | None, length: int) -> tuple[int, int] | None:
    """(start, stop) of a Range header within this length, or None like `bounds`. Raises Unsatisfiable."""
    found = bounds(value)
    if found is None:
        return None
    start, stop, _ = slice(*found).indices(length)
    if start >= length:
        raise Unsatisfiable
    return start, stop


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= LONGEST_NUMBER else int(10**LONGEST_NUMBER)
