"""Decoding of Ogg Opus files for tests."""

from io import BytesIO

import av

from yapit.audio import ogg

OPUS_RATE = 48_000


def decoded_samples(audio):
    """Samples at 24 kHz that a decoder returns."""
    with av.open(BytesIO(audio)) as container:
        return sum(frame.samples for frame in container.decode(audio=0)) * 24_000 / OPUS_RATE


def declared_samples(audio):
    """Samples at 24 kHz by the container alone: last granule position less the pre-skip."""
    first, *_, last = ogg.pages(audio)
    pre_skip = int.from_bytes(first.body[10:12], "little")
    assert last.flags & ogg.LAST_PAGE
    return (last.granule - pre_skip) * 24_000 / OPUS_RATE


def assert_words_fit(speech, text):
    """Words are those of the text in order; times are monotonic and within the duration."""
    end = place = 0
    for word in speech.words:
        assert end <= word.start_ms <= word.end_ms <= speech.duration_ms
        end = word.end_ms
        place = text.index(word.text, place) + len(word.text)
