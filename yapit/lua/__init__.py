"""The Redis scripts of the job protocol and its limits."""

from pathlib import Path

from config.scripts import Script

HERE = Path(__file__).parent


def script(name: str, *libraries: str) -> Script:
    """The script of that name, behind what all share and the libraries that it names."""
    return Script(text(name, *libraries))


def text(name: str, *libraries: str) -> str:
    return "".join((HERE / f"{part}.lua").read_text() for part in ("common", *libraries, name))
