"""The Lua scripts of the job protocol."""

from pathlib import Path

from config.redis.scripts import Script, lua
from yapit.limits.lua import CLOCK

_FOLDER = Path(__file__).parent

# Code that both CLAIM and SUBMIT run.
CLAIMING = lua(_FOLDER, "claiming")
# Code that every script on jobs runs, with the clock it needs.
COMMON = CLOCK + lua(_FOLDER, "common")


def text(name: str, *libraries: str) -> str:
    """The source of `{name}.lua` behind `COMMON` and the sources in `libraries`."""
    return "".join((COMMON, *libraries, lua(_FOLDER, name)))


def script(name: str, *libraries: str) -> Script:
    return Script(text(name, *libraries))
