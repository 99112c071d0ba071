"""Lua scripts, called by hash: one at a time or many in one round trip. Reloaded when Redis has lost them."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError, RedisError

from config.redis.multiplexed import MultiplexedConnection
from config.redis.pipeline import Command, Pipeline, pipeline_of

Argument = str | bytes | int | float


def lua(folder: Path, name: str) -> str:
    """The source of `{name}.lua` in a folder of scripts."""
    return (folder / f"{name}.lua").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Script:
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)

    def call(self, *args: Argument, keys: Sequence[str] = ()) -> "ScriptCall":
        return ScriptCall(self, (*keys, *args), len(keys))


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One call of a script. All scripts are repeatable: a call is sent again when its reply was lost."""

    script: Script
    args: tuple[Argument, ...]
    keys: int

    @property
    def command(self) -> Command:
        return ("EVALSHA", self.script.sha, self.keys, *self.args)

    @property
    def full_command(self) -> Command:
        """For a server that does not know the script."""
        return ("EVAL", self.script.text, self.keys, *self.args)

    def evalsha(self, client: Any) -> Any:
        return client.evalsha(self.script.sha, self.keys, *self.args)

    def eval(self, client: Any) -> Any:
        return client.eval(self.script.text, self.keys, *self.args)


def run(client: Redis, call: ScriptCall) -> Any:
    try:
        return call.evalsha(client)
    except NoScriptError:
        return call.eval(client)


async def arun(client: AsyncRedis | MultiplexedConnection, call: ScriptCall) -> Any:
    try:
        return await call.evalsha(client)
    except NoScriptError:
        return await call.eval(client)


def run_all(client: Redis | Pipeline, calls: Sequence[ScriptCall]) -> list[Any]:
    """All calls in one round trip; replies in order. An error reply is returned, not raised."""
    if not calls:
        return []
    with pipeline_of(client) as pipeline:
        replies = pipeline.exchange([call.command for call in calls])
        if unknown := _unknown(replies):
            again = pipeline.exchange([calls[i].full_command for i in unknown])
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
    return replies


async def arun_all(link: MultiplexedConnection, calls: Sequence[ScriptCall]) -> list[Any]:
    """The same as `run_all`."""
    return await asyncio.gather(*(_reply(link, call) for call in calls))


async def _reply(link: MultiplexedConnection, call: ScriptCall) -> Any:
    try:
        return await arun(link, call)
    except RedisError as error:
        return error


def _unknown(replies: Sequence[Any]) -> list[int]:
    return [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
