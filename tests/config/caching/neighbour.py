"""Another process with a cache on the bus. Executes commands from standard input and replies to each line."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from tests.waiting import PROCESS_PATIENCE

SECONDS = 0.5  # for which a response is fresh
COMMAND = [sys.executable, "-W", "error", "-m", "tests.config.caching.neighbour"]


class Neighbour:
    """The process, as a test sees it."""

    def __init__(self, process):
        self.process = process

    def request(self, line):
        self.send(line)
        return self.reply()

    def send(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def reply(self):
        return self.process.stdout.readline().strip()


@contextmanager
def neighbour(*options, **env):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        [*COMMAND, *options], env=os.environ | {"SHARED_RESPONSES": "1"} | env, **pipes
    ) as process:
        try:
            assert process.stdout.readline().strip() == "listening"
            yield Neighbour(process)
            process.stdin.close()
            assert process.wait(PROCESS_PATIENCE) in (0, -signal.SIGKILL)
        finally:
            process.kill()


def say(reply):
    sys.stdout.write(f"{reply}\n")
    sys.stdout.flush()


async def build():
    """Build a response from `source:1`. Counts builds; keys in Redis make it slow or fail."""
    from config.redis import clients as redis_clients

    client = redis_clients.hot()
    await client.incr("builds")
    source, seconds, failing = await client.mget("source:1", "slow", "failing")
    await asyncio.sleep(float(seconds or 0.05))
    if failing:
        raise LookupError
    return source


async def request_at_once(responses, requests):
    """The distinct results of concurrent requests."""
    results = await asyncio.gather(
        *(responses.get(("1",), build) for _ in range(requests)), return_exceptions=True
    )
    return {
        type(result).__name__ if isinstance(result, Exception) else result.data.decode() for result in results
    }


async def _main(forgetful):
    from config import caching
    from config.redis import clients as redis_clients

    cache = caching.MemoryCache("source", max_bytes=100_000, seconds=600)
    caching.subscribe("source:*", lambda event: cache.invalidate(event), None if forgetful else cache.flush)
    responses = caching.TtlResponseCache("neighbours", follows=["source:1"], gate_seconds=1, seconds=SECONDS)
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
        elif verb == "respond":
            say(" ".join(sorted(await request_at_once(responses, int(key)))))
        elif verb == "bump":
            say(await caching.abump(*key.split(":")))
    await caching.stop_listening()
    await redis_clients.close_hot()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    asyncio.run(_main("--forgetful" in sys.argv))
