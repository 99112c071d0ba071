"""Options of a request, which voices have as parameters: their types and bounds. Pure."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from yapit.engines.contract import EngineError

Speed = Annotated[float, msgspec.Meta(ge=0.5, le=2.0)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class EngineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of the options that an engine takes, validated by the types and bounds of the fields."""


AnyOptions = TypeVar("AnyOptions", bound=EngineOptions)


def parse_options(kind: type[AnyOptions], *layers: Mapping[str, object]) -> AnyOptions:
    """Validate merged options; later layers override earlier ones.

    Raises EngineError `bad_parameters` for an unknown name, a wrong type or a value out of bounds.
    """
    merged = {name: value for layer in layers for name, value in layer.items()}
    try:
        return msgspec.convert(merged, kind)
    except msgspec.ValidationError as exc:
        raise EngineError(str(exc), "bad_parameters") from exc
