"""What a client asks for, and when it asks again. Pure."""

from uuid import UUID

import pytest

from yapit.client.read_ahead import HEALS, QUEUED_SECONDS, RESENDS, RETRIES, SILENCE_SECONDS, Reading, Wish
from yapit.protocol import Status

DOCUMENT = UUID(int=1)


def told(reading, index, status, now=0.0, **more):
    return reading.receive(Status(document_id=DOCUMENT, block_idx=index, status=status, **more), now)


def asked(reading, now=0.0):
    return [(wish.priority, list(wish.indices)) for wish in reading.wishes(now)]


def test_the_block_at_the_cursor_comes_first_and_eight_behind_it():
    reading = Reading(100)

    assert asked(reading) == [("playing", [0]), ("prefetch", list(range(1, 9)))]
    assert asked(reading) == []


def test_moving_on_asks_for_what_comes_into_sight_and_forgets_what_lies_behind():
    reading = Reading(100)
    reading.wishes(0)
    for index in range(9):
        told(reading, index, "cached")
    reading.move(2)

    assert asked(reading) == [("prefetch", [9, 10])]
    assert not reading.has_ended(1)


def test_a_block_that_is_waited_for_now_gets_its_turn():
    reading = Reading(100)
    reading.wishes(0)
    told(reading, 0, "cached")
    reading.move(1)

    assert asked(reading)[0] == ("playing", [1])


def test_a_long_window_goes_out_in_messages_that_the_server_takes():
    wishes = Reading(100, ahead=100).wishes(0)

    assert [len(wish.indices) for wish in wishes] == [1, 32, 32, 32, 3]
    assert isinstance(wishes[0], Wish)


def test_the_end_of_a_document_is_the_end():
    assert asked(Reading(3, cursor=2)) == [("playing", [2])]
    assert asked(Reading(0)) == []


def test_a_block_that_has_ended_is_not_unsettled_by_late_frames():
    reading = Reading(1)
    reading.wishes(0)

    assert told(reading, 0, "cached")
    assert not told(reading, 0, "queued")
    assert not told(reading, 0, "error")
    assert reading.entry(0).state == "cached"


def test_a_block_that_nobody_asked_for_changes_nothing():
    reading = Reading(1)

    assert not told(reading, 5, "cached")
    assert not told(reading, -1, "cached")
    assert not reading.has_ended(5)


def test_what_has_no_outcome_is_asked_for_again_after_a_loss():
    reading = Reading(3)
    reading.wishes(0)
    told(reading, 0, "cached")
    told(reading, 1, "queued")
    reading.reconnected()

    assert asked(reading) == [("prefetch", [1, 2])]


def test_a_refusal_holds_everything_back_for_a_while():
    reading = Reading(2)
    reading.wishes(0)
    reading.hold(5.0)
    reading.drop([1])

    assert asked(reading, 4.9) == []
    assert asked(reading, 5.0) == [("prefetch", [1])]


def test_what_is_told_to_come_back_does_so_later_each_time_and_not_for_ever():
    reading, now = Reading(1), 0.0
    pauses = []
    for _ in range(RETRIES):
        reading.wishes(now)
        told(reading, 0, "error", now, code="busy")
        begun = now
        while not reading.wishes(now):
            now += 0.5
        pauses.append(now - begun)
    told(reading, 0, "error", now, code="busy")

    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    assert reading.entry(0).state == "error"


def test_audio_that_is_gone_is_asked_for_again_and_not_for_ever():
    reading = Reading(1)
    for _ in range(HEALS):
        reading.wishes(0)
        told(reading, 0, "cached")
        assert reading.heal(0)
    reading.wishes(0)
    told(reading, 0, "cached")

    assert not reading.heal(0)


def test_silence_is_asked_into_again_until_the_line_is_dead():
    reading, now = Reading(1), 0.0
    reading.wishes(now)
    for _ in range(RESENDS):
        now += SILENCE_SECONDS + 1
        assert not reading.look_for_silence(now)
        assert asked(reading, now) == [("playing", [0])]

    assert reading.look_for_silence(now + SILENCE_SECONDS + 1)


def test_a_queued_block_is_given_longer_and_says_nothing_about_the_line():
    reading = Reading(1)
    reading.wishes(0)
    told(reading, 0, "queued")

    assert not reading.look_for_silence(QUEUED_SECONDS - 1)
    assert asked(reading) == []
    assert not reading.look_for_silence(QUEUED_SECONDS + 1)
    assert asked(reading) == [("playing", [0])]


def test_seeking_is_told_to_the_server_only_when_it_works_for_us():
    reading = Reading(100)
    assert not reading.seek(10)
    reading.wishes(0)

    assert reading.seek(50)
    assert asked(reading)[0] == ("playing", [50])


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_eviction_counts_unless_it_answers_our_own_seeking(is_ours):
    reading = Reading(100)
    reading.wishes(0)
    if is_ours:
        reading.seek(0)
        reading.wishes(0)
    reading.evicted(range(9))

    assert asked(reading) == ([] if is_ours else [("playing", [0]), ("prefetch", list(range(1, 9)))])
