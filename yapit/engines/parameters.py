"""Voice parameters: what may be asked of an engine, within which bounds. Pure."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from yapit.engines.contract import EngineError

Speed = Annotated[float, msgspec.Meta(ge=0.5, le=2.0)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of an engine's parameters; field types and bounds are the rules."""


Some = TypeVar("Some", bound=Options)


def parse_parameters(kind: type[Some], *layers: Mapping[str, object]) -> Some:
    """Later layers override earlier ones. Raise EngineError `bad_parameters` for unknown or odd values."""
    merged = {name: value for layer in layers for name, value in layer.items()}
    try:
        return msgspec.convert(merged, kind)
    except msgspec.ValidationError as exc:
        raise EngineError(str(exc), "bad_parameters") from exc
