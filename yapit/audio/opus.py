"""Opus encoder: PCM to an Ogg Opus file. Deterministic, and the decoded length equals the input's."""

from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # numpy and PyAV cost 0.2 s and 40 MB, and web processes need only CODEC
    from numpy.typing import NDArray

SAMPLE_RATE = 24_000
OPUS_RATE = 48_000  # of decoders, and of positions in the container
BIT_RATE = 32_000
COMPLEXITY = 5  # of 10, which takes three times as long
CODEC = "opus-24k-mono-32k-2"  # silence cut, loudness levelled
UNTRIMMED_CODEC = "opus-24k-mono-32k"  # of versions that stored the samples as the engine returned them
# bitexact: no encoder version in the tags, and a fixed serial number of the stream
MUXER = {"fflags": "+bitexact"}


class EncodingError(Exception):
    """Samples that can never be encoded."""


def milliseconds(samples: int) -> int:
    """The duration of a number of samples, rounded."""
    return round(samples * 1000 / SAMPLE_RATE)


def encode(
    samples: "NDArray[Any]", *, bit_rate: int = BIT_RATE, complexity: int = COMPLEXITY, constant: bool = False
) -> bytes:
    """Encode mono float32 (-1..1, clipped) or int16 samples at 24 kHz to a whole file.

    `bit_rate` in bits per second; `constant` turns the variable bit rate off. Raises EncodingError.
    """
    import av

    whole = frame(samples)
    buffer = BytesIO()
    try:
        # The file is complete only after the muxer is closed.
        with av.open(buffer, "w", format="ogg", options=MUXER) as container:
            stream = add_stream(container, bit_rate=bit_rate, complexity=complexity, constant=constant)
            container.mux(stream.encode(whole))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as exc:
        raise EncodingError("the audio could not be encoded") from exc
    return buffer.getvalue()


def add_stream(
    container: Any, *, bit_rate: int = BIT_RATE, complexity: int = COMPLEXITY, constant: bool = False
) -> Any:
    """Add a mono stream with the settings of the canonical form to a container of PyAV."""
    options = {"compression_level": str(complexity), "vbr": "off" if constant else "on"}
    stream = container.add_stream("libopus", rate=SAMPLE_RATE, options=options)
    stream.codec_context.layout = "mono"
    stream.codec_context.format = "s16"
    stream.codec_context.bit_rate = bit_rate
    return stream


def frame(samples: "NDArray[Any]", *, at: int = 0) -> Any:
    """A frame of PyAV that begins at sample `at`. Raises EncodingError."""
    import av

    result = av.AudioFrame.from_ndarray(_int16(samples)[None], format="s16", layout="mono")
    result.sample_rate = SAMPLE_RATE
    result.time_base = Fraction(1, SAMPLE_RATE)
    result.pts = at
    return result


def _int16(samples: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    if samples.ndim != 1 or not samples.size:
        raise EncodingError("no audio to encode")
    if samples.dtype == np.int16:
        return samples
    if not np.isfinite(samples).all():
        raise EncodingError("the samples are not finite numbers")
    clipped: NDArray[Any] = np.clip(samples, -1.0, 1.0)
    return (clipped * 32767.0).astype(np.int16)
