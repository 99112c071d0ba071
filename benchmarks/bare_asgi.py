"""Bare ASGI application on Yapit's servers, without any look-up: the limit of the servers.

`python -m benchmarks.bare_asgi daphne|uvicorn PORT BYTES`. The path /304 has that status, all others 200.
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

    async def respond(scope: Mapping[str, Any], receive: object, send: Application) -> None:
        is_full = scope["path"] != "/304"
        start = {
            "type": "http.response.start",
            "status": 200 if is_full else 304,
            "headers": headers if is_full else [],
        }
        await send(start)
        await send({"type": "http.response.body", "body": body if is_full else b""})

    return respond


def main(server: str, port: int, size: int) -> None:
    run = import_module(f"config.serving.{server}").run
    run(application(size), listen("127.0.0.1", port), 1.0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
