"""Style of Lua scripts."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINE_LENGTH = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
APPS = ("audiocache", "billing", "config", "yapit")


def test_lines_are_no_longer_than_those_of_python():
    scripts = [path for app in APPS for path in (ROOT / app).rglob("*.lua")]
    too_long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in scripts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LINE_LENGTH
    ]

    assert scripts
    assert too_long == []
