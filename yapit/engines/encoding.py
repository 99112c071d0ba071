"""Opus encoding for engines: translates errors of the encoder to EngineError."""

from typing import TYPE_CHECKING, Any

from yapit.audio import opus
from yapit.engines.contract import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode(samples: "NDArray[Any]", **options: Any) -> bytes:
    """Encode samples to an Ogg Opus file, as `opus.encode`. Raises EngineError `encoding_failed`."""
    try:
        return opus.encode(samples, **options)
    except opus.EncodingError as error:
        raise EngineError(str(error), "encoding_failed") from error
