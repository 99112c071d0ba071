"""Unusual forms of conditional and range headers (RFC 9110)."""

import pytest

from yapit.api.http.conditional import Unsatisfiable, is_known, may_be_partial, span

TAG = "ab" * 32
SUM = "cd" * 32


@pytest.mark.parametrize(
    "value",
    [
        f'"{TAG}"',
        f'W/"{TAG}"',
        f'  "{TAG}"\t',
        f'"other", "{TAG}"',
        f'"other","{TAG}"',
        f'W/"other" , W/"{TAG}"',
        f'"with,comma", "{TAG}"',
        f', "{TAG}",',
        f'"", "{TAG}"',
        "*",
        " * ",
    ],
)
def test_matching_entity_tags(value):
    assert is_known(value, TAG)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        TAG,
        f'"{TAG}',
        f'"{TAG}x"',
        f'"{TAG.upper()}"',
        f"'{TAG}'",
        '"other"',
        f'"{TAG[:32]}", "{TAG[32:]}"',
        '"*"',
        '*, "other"',
    ],
)
def test_entity_tags_that_do_not_match(value):
    assert not is_known(value, TAG)


@pytest.mark.parametrize("value", [None, SUM, f'"{SUM}"', f' "{SUM}" '])
def test_if_range_with_the_same_checksum_allows_a_part(value):
    assert may_be_partial(value, SUM)


@pytest.mark.parametrize(
    "value",
    ["", f'W/"{SUM}"', f'"{TAG}"', "*", "Sat, 21 Nov 2026 10:00:00 GMT", f'"{SUM}", "{SUM}"', SUM.upper()],
)
def test_if_range_with_anything_else_forbids_a_part(value):
    assert not may_be_partial(value, SUM)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-", (90, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-100", (0, 100)),
        ("bytes=-1000", (0, 100)),
        ("BYTES=0-4", (0, 5)),
        ("bytes= 0-4 ", (0, 5)),
        ("bytes=,0-4,", (0, 5)),
        ("bytes=000000000000000000000000000001-2", (1, 3)),
        ("bytes=5-" + "9" * 5000, (5, 100)),
        ("bytes=-" + "9" * 5000, (0, 100)),
    ],
)
def test_a_single_range_is_parsed(value, expected):
    assert span(value, 100) == expected


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_a_range_past_the_end_cannot_be_satisfied(value):
    with pytest.raises(Unsatisfiable):
        span(value, 100)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=1 - 2",
        "bytes=5-4",
        "bytes=٣-٤",
        "bytes=1_0-20",
        "items=0-4",
        "bytes =0-4",
        "0-4",
        "bytes=0-1,3-4",
        "bytes=0-1, bytes=3-4",
        "bytes=0-0,-1",
        "bytes=200-,300-",
    ],
)
def test_anything_else_means_the_complete_representation(value):
    assert span(value, 100) is None
