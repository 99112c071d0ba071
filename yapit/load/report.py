"""Report of a run of simulated listeners: figures for JSON, and a table for the terminal."""

from collections.abc import Mapping

from yapit.load.measurements import Measurements, percentile

Figures = dict[str, float | int | dict[str, int]]


def figures_of(measurements: Measurements) -> Figures:
    """Latencies in milliseconds, counts and rates, by name."""
    return {
        "blocks": len(measurements.cached),
        "seconds": round(measurements.seconds, 3),
        "blocks_per_second": round(measurements.rate, 1),
        **_percentiles("cached_ms", measurements.cached),
        **_percentiles("first_byte_ms", measurements.first_byte),
        **_percentiles("silence_ms", measurements.silences),
        "underruns": measurements.underruns,
        "seeks": measurements.seeks,
        "refused": measurements.refused,
        "errors": dict(measurements.errors),
        "generator_cpu_ms_per_block": round(measurements.cpu_ms, 4),
    }


def table_of(figures: Mapping[str, object]) -> str:
    width = max(map(len, figures))
    return "\n".join(f"{name.replace('_', ' '):{width}}  {value}" for name, value in figures.items())


def _percentiles(name: str, values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {f"{name}_p{p}": round(1000 * percentile(values, p), 1) for p in (50, 95, 99)}
