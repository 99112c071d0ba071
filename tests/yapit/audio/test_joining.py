"""Joiner: blocks and pauses become one file, in parts, off the event loop, only while it is wanted."""

import asyncio
import threading

import numpy as np
import pytest

from tests.yapit.audio.ogg_decoding import declared_samples, decoded_samples, heard, peak_db
from yapit import ogg
from yapit.audio import joining, rendering
from yapit.audio.joining import CannotJoin, Joiner, joined


def block(milliseconds, hertz=440):
    samples = 0.4 * np.sin(np.arange(milliseconds * 24) * (2 * np.pi * hertz / 24_000))
    return rendering.render([(samples.astype(np.float32), 24_000)], gain_db=0).audio


BLOCKS = [block(700, 300), block(1500, 500), block(250, 900)]
PAUSES = [250, 500, 0]


async def each(blocks, pauses=PAUSES):
    for audio, pause_ms in zip(blocks, pauses, strict=True):
        yield audio, pause_ms


def collected(blocks=BLOCKS, pauses=PAUSES):
    async def collect():
        return [part async for part in joined(each(blocks, pauses))]

    return asyncio.run(collect())


def test_the_length_is_that_of_all_blocks_and_pauses():
    audio = b"".join(collected())

    expected = sum(decoded_samples(each) for each in BLOCKS) + 24 * sum(PAUSES)
    assert decoded_samples(audio) == declared_samples(audio) == expected


def test_the_result_is_one_stream_with_one_header():
    pages = list(ogg.pages(b"".join(collected())))

    assert [page.number for page in pages] == list(range(len(pages)))
    assert [page.body.startswith(b"OpusHead") for page in pages].count(True) == 1
    assert [bool(page.flags & ogg.LAST_PAGE) for page in pages].count(True) == 1


def test_each_block_is_at_its_place_and_pauses_are_silent():
    samples = heard(b"".join(collected()))
    at = 0
    for audio, pause_ms in zip(BLOCKS, PAUSES, strict=True):
        original = heard(audio)
        part = samples[at : at + original.size]
        assert np.corrcoef(part, original)[0, 1] > 0.98
        at += original.size
        pause = samples[at + 240 : at + pause_ms * 24 - 240]
        assert pause.size == 0 or peak_db(pause) < -45
        at += pause_ms * 24


def test_samples_within_5_ms_of_a_border_are_quiet():
    samples = heard(b"".join(collected()))
    at = 0
    for audio, pause_ms in list(zip(BLOCKS, PAUSES, strict=True))[:2]:
        at += heard(audio).size
        assert peak_db(samples[at : at + 120]) <= -45
        at += pause_ms * 24
        assert peak_db(samples[at - 120 : at]) <= -45


def test_parts_are_ready_before_the_last_block_is_there():
    joiner = Joiner()

    assert joiner.add(BLOCKS[1], 500)
    joiner.close()


def test_nothing_joined_is_an_empty_file():
    assert collected([], []) == []


@pytest.mark.parametrize("audio", [b"", b"no audio", BLOCKS[0][:200]])
def test_a_block_that_cannot_be_decoded_is_an_error(audio):
    with pytest.raises(CannotJoin):
        collected([BLOCKS[0], audio, BLOCKS[1]])


def test_the_event_loop_runs_while_blocks_are_joined():
    seen = set()

    class Watched(Joiner):
        def add(self, audio, pause_ms=0):
            seen.add(threading.current_thread().name.rpartition("_")[0])
            return super().add(audio, pause_ms)

    original, joining.Joiner = joining.Joiner, Watched
    try:
        collected()
    finally:
        joining.Joiner = original

    assert seen == {"join"}


def test_no_block_is_taken_before_the_previous_part_was_consumed():
    taken = []

    async def blocks():
        for number in range(20):
            taken.append(number)
            yield BLOCKS[1], 500

    async def read_one_part():
        parts = joined(blocks())
        await anext(parts)
        await asyncio.sleep(0)
        count = len(taken)
        await parts.aclose()
        return count

    assert asyncio.run(read_one_part()) == 1
    assert len(taken) == 1, "it went on after the reader had gone"
