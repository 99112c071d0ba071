"""Conditional and range requests (RFC 9110). Pure."""

import re

ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
RANGE_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
BLANKS = " \t"
LONGEST_NUMBER = 18  # digits; longer than any file, and int() refuses thousands of digits


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


def span(value: str | None, length: int) -> tuple[int, int] | None:
    """(start, stop) of a Range header with a single byte range; stop is exclusive.

    None means the complete representation, also for several ranges and for other or invalid units. Raises
    Unsatisfiable.
    """
    unit, _, ranges = (value or "").strip(BLANKS).partition("=")
    specs = [spec.strip(BLANKS) for spec in ranges.split(",") if spec.strip(BLANKS)]
    match = RANGE_SPEC.fullmatch(specs[0]) if unit.lower() == "bytes" and len(specs) == 1 else None
    if match is None or match[0] == "-":
        return None
    if not match[1]:
        start, stop = max(0, length - _number(match[2])), length
    else:
        start, stop = _number(match[1]), min(length, _number(match[2]) + 1) if match[2] else length
        if match[2] and _number(match[2]) < start:
            return None
    if start >= length:
        raise Unsatisfiable
    return start, stop


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= LONGEST_NUMBER else int(10**LONGEST_NUMBER)
