"""Options of a request, which voices have as parameters: their types and bounds. Pure."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from yapit.engines.contract import Capabilities, EngineError

Speed = Annotated[float, msgspec.Meta(ge=0.5, le=2.0)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


class _SpeedAlone(msgspec.Struct, frozen=True):
    speed: Speed = 1.0


def split_speed(
    options: Mapping[str, object], capabilities: Capabilities
) -> tuple[Mapping[str, object], float]:
    """Options for an engine, and the speed at which its audio is stretched: 1 if it takes `speed` itself.

    Raises EngineError `bad_parameters` for a speed out of bounds.
    """
    if capabilities.speed or "speed" not in options:
        return options, 1.0
    others = {name: value for name, value in options.items() if name != "speed"}
    return others, _converted({"speed": options["speed"]}, _SpeedAlone).speed


class EngineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of the options that an engine takes, validated by the types and bounds of the fields."""


AnyOptions = TypeVar("AnyOptions", bound=EngineOptions)


def parse_options(kind: type[AnyOptions], *layers: Mapping[str, object]) -> AnyOptions:
    """Validate merged options; later layers override earlier ones.

    Raises EngineError `bad_parameters` for an unknown name, a wrong type or a value out of bounds.
    """
    return _converted({name: value for layer in layers for name, value in layer.items()}, kind)


def _converted(options: Mapping[str, object], kind: type[AnyStruct]) -> AnyStruct:
    try:
        return msgspec.convert(options, kind)
    except msgspec.ValidationError as exc:
        raise EngineError(str(exc), "bad_parameters") from exc
