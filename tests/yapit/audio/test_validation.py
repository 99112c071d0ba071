"""Validation of finished files: whole mono Ogg Opus files pass, everything else is refused."""

import numpy as np
import pytest

from yapit import ogg
from yapit.audio import opus, validation

AUDIO = opus.encode((0.3 * np.sin(np.arange(60_000) * 0.08)).astype(np.float32))


def changed_head(**changes):
    first, *rest = ogg.pages(AUDIO)
    body = bytearray(first.body)
    for place, value in changes.items():
        body[int(place[1:])] = value
    head = ogg.OggPage(first.flags, first.granule, first.serial, first.number, first.segments, bytes(body))
    return b"".join(page.encoded() for page in (head, *rest))


def test_the_duration_of_a_whole_file_is_measured():
    assert validation.duration_ms(AUDIO) == 2500


@pytest.mark.parametrize(
    "audio",
    [
        b"",
        b"OggS",
        b"RIFF" + AUDIO[4:],
        AUDIO[:-1],
        AUDIO[: len(AUDIO) // 2],
        AUDIO + b"x",
        AUDIO[: AUDIO.rindex(b"OggS")],
        changed_head(_9=2),
        changed_head(_0=0),
        changed_head(_8=200),
    ],
)
def test_a_file_that_is_not_whole_and_mono_is_refused(audio):
    with pytest.raises(validation.NotCanonical):
        validation.duration_ms(audio)


def test_a_file_without_samples_is_refused():
    first, tags, *_, last = ogg.pages(AUDIO)
    empty = ogg.OggPage(last.flags, 0, last.serial, 2, last.segments, last.body)

    with pytest.raises(validation.NotCanonical):
        validation.duration_ms(b"".join(page.encoded() for page in (first, tags, empty)))
