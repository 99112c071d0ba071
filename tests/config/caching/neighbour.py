"""Another process with a cache on the bus: does what it is told on standard input, and answers each line."""

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager

COMMAND = [sys.executable, "-W", "error", "-m", "tests.config.caching.neighbour"]


class Neighbour:
    """It, as seen from a test."""

    def __init__(self, process):
        self.process = process

    def ask(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def neighbour(*options):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*COMMAND, *options], **pipes) as process:
        try:
            assert process.stdout.readline().strip() == "listening"
            yield Neighbour(process)
            process.stdin.close()
            assert process.wait(10) == 0
        finally:
            process.kill()


def say(answer):
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


async def _main(forgetful):
    from config import caching
    from config import redis as redis_clients

    cache = caching.MemoryCache("source", max_bytes=100_000, seconds=600)
    caching.subscribe("source:*", lambda event: cache.invalidate(event), None if forgetful else cache.flush)
    bus = caching.listen()
    await bus.subscribed()
    say("listening")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, _, key = line.strip().partition(" ")
        if verb == "get":
            value = await cache.aget_or_fetch(key, lambda key=key: redis_clients.hot().get(key))
            say(value.decode())
        elif verb == "publish":
            say(await caching.apublish(*key.split()))
        elif verb == "bump":
            say(await caching.abump(*key.split(":")))
    await caching.stop_listening()
    await redis_clients.close_hot()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    asyncio.run(_main("--forgetful" in sys.argv))
