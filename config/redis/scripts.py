"""Redis scripts by their hash, alone or many in one round trip, also after the server forgot them."""

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
    """The source `{name}.lua` of a room's folder of scripts."""
    return (folder / f"{name}.lua").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Script:
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)

    def call(self, *args: Argument, keys: Sequence[str] = ()) -> "Call":
        return Call(self, (*keys, *args), len(keys))


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation. Every script here is repeatable, so a call may be sent again after any doubt."""

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


def run(client: Redis, call: Call) -> Any:
    try:
        return call.evalsha(client)
    except NoScriptError:
        return call.eval(client)


async def arun(client: AsyncRedis | MultiplexedConnection, call: Call) -> Any:
    try:
        return await call.evalsha(client)
    except NoScriptError:
        return await call.eval(client)


def run_all(client: Redis | Pipeline, calls: Sequence[Call]) -> list[Any]:
    """All in one round trip, answers in order. An exception of one call is its answer."""
    if not calls:
        return []
    with pipeline_of(client) as wire:
        answers = wire.exchange([call.command for call in calls])
        if forgotten := _forgotten(answers):
            again = wire.exchange([calls[i].full_command for i in forgotten])
            for i, answer in zip(forgotten, again, strict=True):
                answers[i] = answer
    return answers


async def arun_all(link: MultiplexedConnection, calls: Sequence[Call]) -> list[Any]:
    """As run_all."""
    return await asyncio.gather(*(_answer(link, call) for call in calls))


async def _answer(link: MultiplexedConnection, call: Call) -> Any:
    try:
        return await arun(link, call)
    except RedisError as error:
        return error


def _forgotten(answers: Sequence[Any]) -> list[int]:
    return [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
