"""Joiner: blocks in canonical form and the pauses between them, as one Ogg Opus file.

Decoded blocks and silence pass through one encoder for each response. Encoded files are never put together:
players stop at the first end of a stream, and each encoder's delay would become a gap.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from yapit.audio import opus
from yapit.audio.opus import OPUS_RATE, SAMPLE_RATE

THREADS = 2  # of one process, for all joins together
DECIMATION = OPUS_RATE // SAMPLE_RATE

Samples = NDArray[np.float32]


class CannotJoin(ValueError):
    """A block that cannot be decoded."""


class Joiner:
    """Writes one file. Not thread-safe, but calls may come from different threads."""

    def __init__(self) -> None:
        self.samples = 0  # so far, at 24 kHz
        self._output = _Output()
        self._container = av.open(self._output, "w", format="ogg", options=opus.MUXER)
        self._stream = opus.add_stream(self._container)

    def add(self, audio: bytes, pause_ms: int = 0) -> bytes:
        """Append a block and the pause after it. Returns the bytes that are ready. Raises CannotJoin."""
        self._encode(decoded(audio))
        self._encode(np.zeros(pause_ms * SAMPLE_RATE // 1000, np.float32))
        return self._output.taken()

    def close(self) -> bytes:
        """End the file and return its last bytes. The muxer writes them as it is closed."""
        if self.samples:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._output.taken()

    def _encode(self, samples: Samples) -> None:
        if samples.size:
            self._container.mux(self._stream.encode(opus.frame(samples, at=self.samples)))
            self.samples += samples.size


class _Output(BytesIO):
    """The muxer's file, from which written bytes are taken. Without seeking, as a response."""

    def seekable(self) -> bool:
        return False

    def taken(self) -> bytes:
        written = self.getvalue()
        super().seek(0)
        self.truncate()
        return written


def decoded(audio: bytes) -> Samples:
    """Samples at 24 kHz of a file in canonical form. Raises CannotJoin.

    Decoders return 48 kHz, in which such a file has nothing above 12 kHz: every second sample is enough.
    """
    try:
        with av.open(BytesIO(audio), "r") as container:
            parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise CannotJoin("a block cannot be decoded") from error
    samples: Samples = np.concatenate([*parts, np.zeros(0, np.float32)])[::DECIMATION]
    return samples.astype(np.float32, copy=False)


_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="join")


async def joined(blocks: AsyncIterator[tuple[bytes, int]]) -> AsyncIterator[bytes]:
    """The joined file in parts, from pairs of audio and pause in ms. Works in threads of a bounded pool.

    Takes the next block when the previous part has been consumed, and stops when the generator is closed.
    Raises CannotJoin.
    """
    joiner = await _in_pool(Joiner)
    try:
        async for audio, pause_ms in blocks:
            if part := await _in_pool(joiner.add, audio, pause_ms):
                yield part
    except BaseException:
        await asyncio.shield(_in_pool(joiner.close))
        raise
    if part := await _in_pool(joiner.close):
        yield part


async def _in_pool(function: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(_pool, function, *arguments)
