"""Engine registry: classes, instances and identities of the dotted names in `settings.ENGINES`."""

from functools import cache
from importlib import import_module
from typing import cast

from yapit.engines.contract import Engine, EngineIdentity


def engine_class(dotted_path: str) -> type[Engine]:
    module, _, name = dotted_path.rpartition(".")
    return cast(type[Engine], getattr(import_module(module), name))


def load_engine(slug: str, dotted_path: str) -> Engine:
    return engine_class(dotted_path)(slug)


@cache
def engine_identity(dotted_path: str) -> EngineIdentity:
    engine = load_engine("", dotted_path)
    return EngineIdentity(engine.revision, engine.codec)
