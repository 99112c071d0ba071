"""Command line, `python -m benchmarks [NAME ...] [--size short|full]`: prints a table."""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.isolation import BenchmarkFailed, run_in_process
from benchmarks.registry import Figure, Size, benchmarks
from benchmarks.report import machine, table, write_json

OUTPUT = Path("build/bench.json")
SECONDS = {Size.SHORT: 300, Size.FULL: 3600}  # time limit of one benchmark


def main() -> int:
    known = benchmarks()
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; default: all")
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.SHORT)
    given = parser.parse_args()
    unknown = set(given.names) - set(known)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    print(machine())
    figures, failed = run(given.names or list(known), given.size)
    write_json(OUTPUT, figures, given.size)
    print(f"\n{table(figures)}\n\nWritten to {OUTPUT}.")
    for name in failed:
        print(f"{name} FAILED; the reason is above.")
    return 1 if failed else 0


def run(names: list[str], size: Size) -> tuple[list[Figure], list[str]]:
    """All figures, and the names of those that failed."""
    figures: list[Figure] = []
    failed = []
    for name in names:
        begun = time.monotonic()
        print(f"{name} ... ", end="", flush=True)
        try:
            figures += run_in_process(name, size, SECONDS[size])
        except BenchmarkFailed as reason:
            failed.append(name)
            print(f"FAILED\n{reason}")
        else:
            print(f"{time.monotonic() - begun:.0f} s")
    return figures, failed


if __name__ == "__main__":
    sys.exit(main())
