"""Decoding of Ogg Opus files for tests, and what can be heard in them."""

from io import BytesIO

import av
import numpy as np

from yapit import ogg
from yapit.audio import joining

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


def heard(audio):
    """The decoded samples at 24 kHz."""
    return joining.decoded(audio)


def peak_db(samples):
    return 20 * np.log10(np.abs(samples).max(initial=0) + 1e-12)


def silence_at_ends(samples, threshold_db=-45.0):
    """Milliseconds at head and tail that stay below the threshold, in dB below the peak of the samples."""
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() * 10 ** (threshold_db / 20))
    return loud[0] / 24, (samples.size - 1 - loud[-1]) / 24
