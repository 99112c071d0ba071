"""Hibari's files on this machine: the registry of voices and the path of each model. Never downloads."""

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def assets() -> Path:
    """Found without importing the package, which would load numpy and scipy."""
    spec = find_spec("hibari")
    if spec is None or spec.origin is None:
        raise ImportError("hibari is not installed", name="hibari")
    return Path(spec.origin).parent / "assets"


def model_path(about: Mapping[str, Any]) -> Path:
    """Voices that are not in the package are looked for in HIBARI_HOME, where hibari keeps them."""
    folder = assets() if about.get("bundled") else Path(os.environ.get("HIBARI_HOME", os.devnull))
    return folder / str(about["file"])


@cache
def registry() -> dict[str, dict[str, Any]]:
    registry: dict[str, dict[str, Any]] = json.loads((assets() / "voices.json").read_bytes())
    return registry
