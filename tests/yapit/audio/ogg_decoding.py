"""Reads Ogg Opus files back, as a player would."""

from io import BytesIO

import av

from yapit.audio import ogg

OPUS_RATE = 48_000


def decoded_samples(audio):
    """Samples at 24 kHz that a decoder hands out."""
    with av.open(BytesIO(audio)) as container:
        return sum(frame.samples for frame in container.decode(audio=0)) * 24_000 / OPUS_RATE


def declared_samples(audio):
    """Samples at 24 kHz by the container alone: last granule position less the pre-skip."""
    first, *_, last = ogg.pages(audio)
    pre_skip = int.from_bytes(first.body[10:12], "little")
    assert last.flags & ogg.LAST_PAGE
    return (last.granule - pre_skip) * 24_000 / OPUS_RATE


def assert_words_fit(speech, text):
    """Words are the text's words in order, and their times never run backwards or out of the audio."""
    end = place = 0
    for word in speech.words:
        assert end <= word.start_ms <= word.end_ms <= speech.duration_ms
        end = word.end_ms
        place = text.index(word.text, place) + len(word.text)
