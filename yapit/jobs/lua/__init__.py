"""Lua scripts of the job protocol."""

from pathlib import Path

from config.redis.scripts import Script, lua
from yapit.limits.lua import CLOCK

_FOLDER = Path(__file__).parent

# Functions of CLAIM and SUBMIT.
CLAIMING = lua(_FOLDER, "claiming")
# Functions of every script of jobs, with the clock that they need.
COMMON = CLOCK + lua(_FOLDER, "common")


def text(name: str, *libraries: str) -> str:
    """The source of `{name}.lua` behind `COMMON` and the sources in `libraries`."""
    return "".join((COMMON, *libraries, lua(_FOLDER, name)))


def script(name: str, *libraries: str) -> Script:
    return Script(text(name, *libraries))
