"""API key verification: cached, from the database, and for 1,000 open sockets.

Baseline: keys stored like passwords, with a password hash for each request.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from statistics import median

from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack

ROUND = 100
SOCKETS = 1000
TARGET_US = 50.0


@benchmark("key_verification")
def key_verification(size: Size) -> Iterator[Figure]:
    with launched_stack():
        yield from asyncio.run(measure(size.pick(200, 2000), size.pick(100, 1000)))


async def measure(rounds: int, lookups: int) -> list[Figure]:
    from django.contrib.auth.hashers import check_password, make_password

    from benchmarks.factories import make_accounts
    from config.database.offload import offload
    from yapit.accounts import identity, keys

    accounts = await offload(make_accounts, SOCKETS)
    scope = request(accounts[0].token)

    async def cached_lookups() -> None:
        for _ in range(ROUND):
            await identity.identify_scope(scope)

    async def database_lookup() -> None:
        identity.forget()
        await identity.identify_scope(scope)

    async def digests() -> None:
        for _ in range(ROUND):
            keys.digest(accounts[0].token)

    encoded = make_password(accounts[0].token)

    async def password_hash() -> None:
        identity.forget()
        await identity.identify_scope(scope)
        check_password(accounts[0].token, encoded)

    uncached = await typical(database_lookup, lookups)
    cached = await typical(cached_lookups, rounds) / ROUND
    limit = await typical(digests, rounds) / ROUND
    as_a_password = await typical(password_hash, 10)
    identities = [await identity.identify_scope(request(account.token)) for account in accounts]
    checked = await typical(lambda: identity.find_invalid(identities), 10)
    return [
        Figure("key_verification.cached", cached, "us", "lower", TARGET_US, baseline=uncached, limit=limit),
        Figure("key_verification.uncached", uncached, "us", "lower", baseline=as_a_password),
        Figure("key_verification.open_socket", checked / SOCKETS, "us", "lower", baseline=uncached),
    ]


async def typical(function: Callable[[], Awaitable[object]], rounds: int) -> float:
    """Median duration in microseconds."""
    await function()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await function()
        taken.append(time.perf_counter() - begun)
    return median(taken) * 1e6


def request(token: str) -> dict[str, object]:
    """A request with the headers of a browser."""
    headers = {
        "host": "127.0.0.1:8000",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
        "accept": "*/*",
        "accept-encoding": "gzip, deflate, br",
        "authorization": f"Bearer {token}",
        "referer": "http://127.0.0.1:8000/",
        "cookie": "csrftoken=0123456789abcdef0123456789abcdef",
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "scheme": "http", "query_string": b"a=b", "headers": pairs}
