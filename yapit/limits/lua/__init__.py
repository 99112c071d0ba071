"""Lua scripts of rate limits, and the clock and functions that scripts of other rooms share with them."""

from pathlib import Path

from config.redis.scripts import Script, lua

_FOLDER = Path(__file__).parent

CLOCK = lua(_FOLDER, "clock")
LIMITS = lua(_FOLDER, "limits")


def script(name: str) -> Script:
    return Script(CLOCK + LIMITS + lua(_FOLDER, name))
