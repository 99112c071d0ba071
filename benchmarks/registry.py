"""Benchmark registry: functions that measure and return figures, by name."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeVar

from benchmarks import cases

T = TypeVar("T")


class Size(StrEnum):
    SHORT = "short"
    FULL = "full"

    def pick(self, short: T, full: T) -> T:
        return short if self is Size.SHORT else full


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value. `baseline` is that of an alternative, `limit` the best that the machine can do."""

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"]
    target: float | None = None
    baseline: float | None = None
    limit: float | None = None

    @property
    def is_met(self) -> bool | None:
        """None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


Benchmark = Callable[[Size], Iterable[Figure]]

_known: dict[str, Benchmark] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register a benchmark. The names of its figures begin with `name`."""

    def register(measure: Benchmark) -> Benchmark:
        if name in _known:
            raise ValueError(f"There are two benchmarks named {name}.")
        _known[name] = measure
        return measure

    return register


def benchmarks() -> Mapping[str, Benchmark]:
    """All benchmarks by name."""
    for module in pkgutil.iter_modules(cases.__path__, f"{cases.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(_known.items()))
