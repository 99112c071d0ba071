"""Finished files of noise, made once for each size: the canonical form without any work for each text.

Encodes by itself, since engines do not know the audio room and load tests need constant sizes.
"""

from fractions import Fraction
from functools import lru_cache
from io import BytesIO

import av
import numpy as np

from yapit import ogg

SAMPLE_RATE = 24_000
SECONDS = 20  # duration of a file of the usual size


def noise_file(size: int, comment: str) -> tuple[bytes, int]:
    """A file of about `size` bytes and its duration in ms. The comment tells files of two texts apart."""
    head, rest, duration_ms = _pages(size)
    return b"".join((head, ogg.tags_page(0, comment), rest)), duration_ms


@lru_cache(maxsize=8)
def _pages(size: int) -> tuple[bytes, bytes, int]:
    """First page, pages after the tags, and duration in milliseconds."""
    bit_rate = min(max(size * 8 // SECONDS, 32_000), 256_000)
    count = size * 8 * SAMPLE_RATE // bit_rate
    noise = np.random.default_rng(1).standard_normal(count, dtype=np.float32) * np.float32(0.1)
    first, _, *rest = ogg.pages(_encoded((np.clip(noise, -1, 1) * 32767).astype(np.int16), bit_rate))
    duration_ms = round(count * 1000 / SAMPLE_RATE)
    return first.encoded(), b"".join(page.encoded() for page in rest), duration_ms


def _encoded(samples: np.ndarray, bit_rate: int) -> bytes:
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.time_base = Fraction(1, SAMPLE_RATE)
    frame.pts = 0
    buffer = BytesIO()
    with av.open(buffer, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(
            "libopus", rate=SAMPLE_RATE, options={"compression_level": "0", "vbr": "off"}
        )
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        stream.codec_context.bit_rate = bit_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
