"""Opus encoder: PCM to an Ogg Opus file. Deterministic, and the decoded length equals the input's."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # numpy and PyAV cost 0.2 s and 40 MB, and web processes need only CODEC
    from numpy.typing import NDArray

SAMPLE_RATE = 24_000
BIT_RATE = 32_000
COMPLEXITY = 5  # of 10, which takes three times as long
CODEC = "opus-24k-mono-32k"
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

    frame = _frame(samples)
    options = {"compression_level": str(complexity), "vbr": "off" if constant else "on"}
    buffer = BytesIO()
    try:
        # The file is complete only after the muxer is closed.
        with av.open(buffer, "w", format="ogg", options=MUXER) as container:
            stream = container.add_stream("libopus", rate=SAMPLE_RATE, options=options)
            stream.codec_context.layout = "mono"
            stream.codec_context.format = "s16"
            stream.codec_context.bit_rate = bit_rate
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as exc:
        raise EncodingError("the audio could not be encoded") from exc
    return buffer.getvalue()


def _frame(samples: "NDArray[Any]") -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(_int16(samples)[None], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts = 0
    return frame


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
