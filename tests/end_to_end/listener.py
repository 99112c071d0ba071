"""A listener over a real socket: asks for blocks, collects how each ended, fetches and decodes the audio."""

import io
import json
from dataclasses import dataclass

import av
from websockets.sync.client import connect

from tests.waiting import PROCESS_PATIENCE

BATCH = 32
FRAME_SECONDS = 60


@dataclass(frozen=True)
class Decoded:
    duration_ms: float
    loudest: float  # 0..1


class Listener:
    """`told` has every frame, in order."""

    def __init__(self, stack, headers=None):
        self.stack = stack
        self.told = []
        self.headers = headers or {"Origin": stack.url}

    def __enter__(self):
        self._connecting = connect(
            self.stack.socket_url, additional_headers=self.headers, open_timeout=PROCESS_PATIENCE
        )
        self.socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error):
        self._connecting.__exit__(*error)

    def ask(self, document_id, indices, **voice):
        self.socket.send(
            json.dumps(
                {"type": "synthesize", "document_id": document_id, "block_indices": list(indices), **voice}
            )
        )

    def frame(self, timeout=FRAME_SECONDS):
        frame = json.loads(self.socket.recv(timeout))
        self.told.append(frame)
        assert frame["seq"] == len(self.told)
        return frame

    def hear(self, document_id, count, **voice):
        """Ask for every block; the terminal status of each, by index."""
        ended = {}
        for start in range(0, count, BATCH):
            batch = range(start, min(start + BATCH, count))
            self.ask(document_id, batch, **voice)
            while not ended.keys() >= set(batch):
                frame = self.frame()
                assert frame["type"] == "status", frame
                if frame["status"] != "queued":
                    assert frame["block_idx"] not in ended
                    ended[frame["block_idx"]] = frame
        return ended


def decode(audio):
    """Raise when it does not decode to the end."""
    with av.open(io.BytesIO(audio)) as container:
        samples, loudest, rate = 0, 0.0, 48_000
        for frame in container.decode(audio=0):
            samples += frame.samples
            rate = frame.sample_rate
            loudest = max(loudest, float(abs(frame.to_ndarray()).max()))
    return Decoded(samples / rate * 1000, loudest)
