"""Encoding for engines: errors of the encoder become engine errors."""

import numpy as np
import pytest

from yapit.engines import EngineError
from yapit.engines.encoding import encode


@pytest.mark.parametrize("samples", [np.zeros(0), np.full(10, np.nan)])
def test_samples_that_are_not_audio_are_an_engine_error(samples):
    with pytest.raises(EngineError) as caught:
        encode(samples.astype(np.float32))

    assert caught.value.code == "encoding_failed"
