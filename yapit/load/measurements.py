"""Measurements of simulated listeners, and percentiles."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles


@dataclass(slots=True)
class Measurements:
    """Results of all listeners of one run. Times in seconds."""

    cached: list[float] = field(default_factory=list)  # from the request of a block to its status `cached`
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of the generator
    refused: int = 0  # blocks that were refused for the moment, and requested again
    errors: Counter[str] = field(default_factory=Counter)  # by code
    first_byte: list[float] = field(
        default_factory=list
    )  # from the request of a block to the audio's first byte
    silences: list[float] = field(default_factory=list)  # before the first block and after each seek
    underruns: int = 0  # blocks that were not ready when the previous one had ended
    seeks: int = 0

    @property
    def rate(self) -> float:
        """Blocks per second."""
        return len(self.cached) / self.seconds

    def milliseconds(self, percent: int) -> float:
        """Percentile of the time from request to `cached`."""
        return 1000 * percentile(self.cached, percent)

    @property
    def cpu_ms(self) -> float:
        """CPU time of the generator for each block."""
        return 1000 * self.cpu_seconds / max(1, len(self.cached))


def percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return sum(values)
    return quantiles(values, n=100, method="inclusive")[percent - 1]
