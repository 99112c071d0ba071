"""Progress bar of management commands, shown on terminals only."""

from typing import TextIO

WIDTH = 30


class Progress:
    """Writes to `out` only if it is a terminal."""

    def __init__(self, out: TextIO, total: int, label: str) -> None:
        self._out = out
        self._total = max(total, 1)
        self._label = label
        self._is_shown = out.isatty()

    def show(self, done: int) -> None:
        if not self._is_shown:
            return
        share = min(1.0, max(0.0, done / self._total))
        bar = ("#" * round(share * WIDTH)).ljust(WIDTH, ".")
        self._out.write(f"\r{self._label} [{bar}] {share:4.0%}")
        self._out.flush()

    def end(self) -> None:
        if self._is_shown:
            self._out.write("\n")
