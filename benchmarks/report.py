"""Reports of figures: a table for the terminal, a JSON file for comparisons."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.registry import Figure, Size

FIELDS = ("name", "value", "unit", "target", "better", "baseline", "limit", "size")
HEADINGS = ("figure", "value", "unit", "target", "", "baseline", "x", "limit", "x")


def write_json(path: Path, figures: Iterable[Figure], size: Size) -> None:
    """Write the file atomically."""
    rows = [{name: ({**asdict(figure), "size": size})[name] for name in FIELDS} for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(rows, indent=1) + "\n")
    unfinished.replace(path)


def table(figures: Sequence[Figure]) -> str:
    rows = [HEADINGS, *map(_cells, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load before: {load}"
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    met = {None: "", True: "met", False: "MISSED"}[figure.is_met]
    return (
        figure.name,
        _number(figure.value),
        figure.unit,
        _target(figure),
        met,
        _number(figure.baseline),
        _ratio(figure.value, figure.baseline),
        _number(figure.limit),
        _ratio(figure.value, figure.limit),
    )


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'<=' if figure.better == 'lower' else '>='} {_number(figure.target)}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(value: float, other: float | None) -> str:
    return f"{value / other:.2f}" if other else ""


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *rest = (
        cell.ljust(width) if index in (0, 2, 4) else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join((name, *rest)).rstrip()
