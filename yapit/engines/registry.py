"""Engine registry: classes and instances of the entries in `settings.ENGINES`."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from yapit.engines.contract import Engine


def engine_class(dotted_path: str) -> type[Engine]:
    module, _, name = dotted_path.rpartition(".")
    return cast(type[Engine], getattr(import_module(module), name))


def load_engine(slug: str, entry: Mapping[str, Any]) -> Engine:
    """The instance that an entry describes. Raises TypeError or ValueError for options it does not take."""
    make = cast(Callable[..., Engine], engine_class(entry["class"]))
    return make(slug, **entry.get("options", {}))
