"""WebSocket without client logic: sends any frame, returns the server's frames."""

import json

from websockets.sync.client import connect

from tests.waiting import PROCESS_PATIENCE


class FrameSocket:
    """A context manager. Fails if a frame does not have the next `seq`."""

    def __init__(self, stack):
        self.stack = stack
        self.seq = 0

    def __enter__(self):
        self._connecting = connect(
            self.stack.socket_url,
            additional_headers={"Origin": self.stack.url},
            open_timeout=PROCESS_PATIENCE,
        )
        self.socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error):
        self._connecting.__exit__(*error)

    def synthesize(self, document_id, indices, **voice):
        self.socket.send(
            json.dumps({"type": "synthesize", "document_id": document_id, "block_indices": indices, **voice})
        )

    def frame(self, timeout=PROCESS_PATIENCE):
        frame = json.loads(self.socket.recv(timeout))
        self.seq += 1
        assert frame["seq"] == self.seq
        return frame
