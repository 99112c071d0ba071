"""Read-ahead: the blocks that a client requests, and repetitions. Pure."""

from uuid import UUID

import pytest

from yapit.client.read_ahead import (
    ACK_TIMEOUT_SECONDS,
    MAX_AUDIO_LOSSES,
    QUEUED_TIMEOUT_SECONDS,
    RESENDS,
    RETRIES,
    BlockRequest,
    ReadAhead,
)
from yapit.protocol import Status

DOCUMENT = UUID(int=1)


def receive(blocks, index, status, now=0.0, **fields):
    return blocks.receive(Status(document_id=DOCUMENT, block_idx=index, status=status, **fields), now)


def requests(blocks, now=0.0):
    return [(request.priority, list(request.indices)) for request in blocks.take_requests(now)]


def test_the_block_at_the_cursor_is_requested_first_and_eight_after_it():
    blocks = ReadAhead(100)

    assert requests(blocks) == [("playing", [0]), ("prefetch", list(range(1, 9)))]
    assert requests(blocks) == []


def test_a_move_requests_new_blocks_of_the_window_and_forgets_earlier_ones():
    blocks = ReadAhead(100)
    blocks.take_requests(0)
    for index in range(9):
        receive(blocks, index, "cached")
    blocks.move(2)

    assert requests(blocks) == [("prefetch", [9, 10])]
    assert not blocks.has_ended(1)


def test_a_pending_block_becomes_urgent_when_the_cursor_reaches_it():
    blocks = ReadAhead(100)
    blocks.take_requests(0)
    receive(blocks, 0, "cached")
    blocks.move(1)

    assert requests(blocks)[0] == ("playing", [1])


def test_a_long_window_is_split_into_messages_of_the_maximum_size():
    requests = ReadAhead(100, ahead=100).take_requests(0)

    assert [len(request.indices) for request in requests] == [1, 32, 32, 32, 3]
    assert isinstance(requests[0], BlockRequest)


def test_no_block_after_the_last_is_requested():
    assert requests(ReadAhead(3, cursor=2)) == [("playing", [2])]
    assert requests(ReadAhead(0)) == []


def test_late_frames_do_not_change_an_ended_block():
    blocks = ReadAhead(1)
    blocks.take_requests(0)

    assert receive(blocks, 0, "cached")
    assert not receive(blocks, 0, "queued")
    assert not receive(blocks, 0, "error")
    assert blocks.block(0).state == "cached"


def test_statuses_of_other_blocks_are_ignored():
    blocks = ReadAhead(1)

    assert not receive(blocks, 5, "cached")
    assert not receive(blocks, -1, "cached")
    assert not blocks.has_ended(5)


def test_pending_blocks_are_requested_again_after_a_reconnection():
    blocks = ReadAhead(3)
    blocks.take_requests(0)
    receive(blocks, 0, "cached")
    receive(blocks, 1, "queued")
    blocks.reconnected()

    assert requests(blocks) == [("prefetch", [1, 2])]


def test_a_refusal_delays_all_requests():
    blocks = ReadAhead(2)
    blocks.take_requests(0)
    blocks.hold(5.0)
    blocks.drop([1])

    assert requests(blocks, 4.9) == []
    assert requests(blocks, 5.0) == [("prefetch", [1])]


def test_retries_of_a_busy_block_back_off_and_end():
    blocks, now = ReadAhead(1), 0.0
    pauses = []
    for _ in range(RETRIES):
        blocks.take_requests(now)
        receive(blocks, 0, "error", now, code="busy")
        begun = now
        while not blocks.take_requests(now):
            now += 0.5
        pauses.append(now - begun)
    receive(blocks, 0, "error", now, code="busy")

    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    assert blocks.block(0).state == "error"


def test_lost_audio_is_requested_again_a_limited_number_of_times():
    blocks = ReadAhead(1)
    for _ in range(MAX_AUDIO_LOSSES):
        blocks.take_requests(0)
        receive(blocks, 0, "cached")
        assert blocks.audio_lost(0)
    blocks.take_requests(0)
    receive(blocks, 0, "cached")

    assert not blocks.audio_lost(0)


def test_unanswered_requests_are_repeated_until_the_connection_counts_as_dead():
    blocks, now = ReadAhead(1), 0.0
    blocks.take_requests(now)
    for _ in range(RESENDS):
        now += ACK_TIMEOUT_SECONDS + 1
        assert not blocks.check_timeouts(now)
        assert requests(blocks, now) == [("playing", [0])]

    assert blocks.check_timeouts(now + ACK_TIMEOUT_SECONDS + 1)


def test_a_queued_block_has_a_longer_timeout_and_keeps_the_connection():
    blocks = ReadAhead(1)
    blocks.take_requests(0)
    receive(blocks, 0, "queued")

    assert not blocks.check_timeouts(QUEUED_TIMEOUT_SECONDS - 1)
    assert requests(blocks) == []
    assert not blocks.check_timeouts(QUEUED_TIMEOUT_SECONDS + 1)
    assert requests(blocks) == [("playing", [0])]


def test_a_seek_is_announced_only_while_blocks_are_pending():
    blocks = ReadAhead(100)
    assert not blocks.seek(10)
    blocks.take_requests(0)

    assert blocks.seek(50)
    assert requests(blocks)[0] == ("playing", [50])


@pytest.mark.parametrize("is_expected", [True, False])
def test_evicted_blocks_are_requested_again_unless_the_eviction_answers_a_seek(is_expected):
    blocks = ReadAhead(100)
    blocks.take_requests(0)
    if is_expected:
        blocks.seek(0)
        blocks.take_requests(0)
    blocks.evicted(range(9))

    assert requests(blocks) == ([] if is_expected else [("playing", [0]), ("prefetch", list(range(1, 9)))])
