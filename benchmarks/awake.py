"""Keeps the cores awake, as they are on a server under load.

A sleeping core of a virtual machine takes up to half a millisecond to wake, and a message passes four
processes, so latencies on an idle machine are mostly that. A process on each core with the idle scheduling
policy prevents it and takes almost no time from the others.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator

_context = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def awake() -> Iterator[None]:
    spinners = [_context.Process(target=_spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for spinner in spinners:
        spinner.start()
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.join()


def _spin() -> None:
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(100_000))
