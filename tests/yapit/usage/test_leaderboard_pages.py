"""Pages of the leaderboard: every row once, and only valid cursors."""

import base64
import json
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yapit.usage.leaderboard_pages import (
    BadCursor,
    Cursor,
    Day,
    pack,
    page,
    read_cursor,
    unpack,
    write_cursor,
)

FIRST = date(2026, 3, 1)


def days(*counts):
    return [
        Day(FIRST + timedelta(days=number), [b"[%d,%d]" % (number, row) for row in range(count)])
        for number, count in enumerate(counts)
    ]


def read(window, after, limit):
    answer = json.loads(page(window, after, limit))
    return [tuple(row) for row in answer["data"]], answer["cursor"], answer["has_more"]


def test_without_a_cursor_the_newest_rows_are_returned_newest_last():
    assert read(days(3, 2), None, 3)[0] == [(0, 2), (1, 0), (1, 1)]
    assert read(days(), None, 3) == ([], None, False)


@given(st.lists(st.integers(0, 7), max_size=6), st.integers(1, 10))
def test_every_row_is_on_exactly_one_page(counts, limit):
    window = unpack(pack(days(*counts)))
    all_rows = [(number, row) for number, count in enumerate(counts) for row in range(count)]
    if not all_rows:
        return
    seen, cursor, _ = read(window[:1], None, 1000)
    more = True
    while more:
        rows, cursor, more = read(window, cursor, limit)
        seen += rows

    assert seen == all_rows
    assert read(window, cursor, limit) == ([], cursor, False)


def test_a_changed_day_is_sent_again_from_its_first_row():
    _, cursor, _ = read(days(2, 3), None, 10)
    changed = [*days(2), Day(FIRST + timedelta(days=1), [b"[9,0]", b"[9,1]"])]

    assert read(changed, cursor, 10)[0] == [(9, 0), (9, 1)]


def test_a_removed_day_is_skipped():
    _, cursor, _ = read(days(2), None, 10)

    assert read(days(0, 2), cursor, 10)[0] == [(1, 0), (1, 1)]


def test_the_format_of_a_cursor_is_stable():
    cursor = Cursor(1, FIRST, 3, "0123456789abcdef")

    assert read_cursor(write_cursor(cursor)) == cursor
    assert write_cursor(cursor) == "lAGqMjAyNi0wMy0wMQOwMDEyMzQ1Njc4OWFiY2RlZg"


@given(st.one_of(st.text(max_size=90), st.binary(max_size=60).map(lambda raw: write_raw(raw))))
def test_any_other_text_is_refused(text):
    try:
        cursor = read_cursor(text)
    except BadCursor:
        return
    assert write_cursor(cursor) == text


def write_raw(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "forged",
    [
        [2, FIRST, 1, "a"],
        [1, FIRST, 0, "a"],
        [1, FIRST, -5, "a"],
        [1, "2026-02-30", 1, "a"],
        [1, FIRST, 2**63, 1],
        [1, FIRST, 1.5, "a"],
        [1, FIRST, 1],
        {},
    ],
)
def test_a_forged_cursor_is_refused(forged):
    with pytest.raises(BadCursor):
        read_cursor(write_raw(msgspec.msgpack.encode(forged)))


def test_a_cursor_of_a_future_day_has_no_rows_yet():
    cursor = write_cursor(Cursor(1, date(9999, 12, 31), 2**62, ""))

    assert read(days(3), cursor, 10) == ([], cursor, False)
