"""An ASGI application that looks nothing up, on the servers that Yapit runs on: their limit.

`python -m benchmarks.bare_asgi daphne|uvicorn PORT BYTES`; the path /304 is answered with that status.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any

from config.management.commands.run_web import listen

Application = Callable[..., Awaitable[None]]


def application(size: int) -> Application:
    body = bytes(size)
    headers = [(b"content-type", b"audio/ogg"), (b"content-length", str(size).encode())]

    async def answer(scope: Mapping[str, Any], receive: object, send: Callable[..., Awaitable[None]]) -> None:
        found = scope["path"] != "/304"
        start = {
            "type": "http.response.start",
            "status": 200 if found else 304,
            "headers": headers if found else [],
        }
        await send(start)
        await send({"type": "http.response.body", "body": body if found else b""})

    return answer


def main(server: str, port: int, size: int) -> None:
    run = import_module(f"config.serving.on_{server}").run
    run(application(size), listen("127.0.0.1", port), 1.0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
