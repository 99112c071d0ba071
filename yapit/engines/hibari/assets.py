"""Hibari's files on this machine: the voice registry and the paths of the models. Downloads nothing."""

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def assets() -> Path:
    """The folder of the package's files, found without an import, which would load numpy and scipy."""
    spec = find_spec("hibari")
    if spec is None or spec.origin is None:
        raise ImportError("hibari is not installed", name="hibari")
    return Path(spec.origin).parent / "assets"


def model_path(about: Mapping[str, Any]) -> Path:
    """The model file of a registry entry: in the package if bundled, otherwise in HIBARI_HOME."""
    folder = assets() if about.get("bundled") else Path(os.environ.get("HIBARI_HOME", os.devnull))
    return folder / str(about["file"])


@cache
def registry() -> dict[str, dict[str, Any]]:
    """Voices by name, as the package describes them."""
    registry: dict[str, dict[str, Any]] = json.loads((assets() / "voices.json").read_bytes())
    return registry
