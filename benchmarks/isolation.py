"""Runs a benchmark in a process of its own: it may set up Django, hang or die, and the others still run."""

import multiprocessing
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection

from benchmarks.registry import Figure, Size, benchmarks

_context = multiprocessing.get_context("spawn")
KILL_SECONDS = 10


class BenchmarkFailed(Exception):
    """Says why, in as many lines as that takes."""


def run_apart(name: str, size: Size, seconds: float) -> Sequence[Figure]:
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(name, size, sender), name=name)
    process.start()
    sender.close()
    try:
        return _outcome(receiver, seconds)
    finally:
        process.join(KILL_SECONDS)
        process.kill()  # the watchdog of its servers ends those
        process.join()


def _outcome(receiver: Connection, seconds: float) -> Sequence[Figure]:
    try:
        if not receiver.poll(seconds):
            raise BenchmarkFailed(f"no result within {seconds:g} seconds")
        outcome = receiver.recv()
    except EOFError:
        raise BenchmarkFailed("its process died") from None
    if isinstance(outcome, str):
        raise BenchmarkFailed(outcome)
    return list(outcome)


def _run(name: str, size: Size, sender: Connection) -> None:
    try:
        figures = list(benchmarks()[name](size))
    except Exception:  # whatever it is, it is this benchmark's result
        sender.send(traceback.format_exc())
    else:
        sender.send(figures)
