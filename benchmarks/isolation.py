"""Isolation of benchmarks: each runs in its own process, so that a failure does not affect the others."""

import multiprocessing
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection

from benchmarks.registry import Figure, Size, benchmarks

_context = multiprocessing.get_context("spawn")
KILL_SECONDS = 10


class BenchmarkFailed(Exception):
    """A benchmark without a result; the message is its traceback or the reason."""


def run_in_process(name: str, size: Size, seconds: float) -> Sequence[Figure]:
    """The figures of one benchmark. Raises BenchmarkFailed, also after `seconds`."""
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(name, size, sender), name=name)
    process.start()
    sender.close()
    try:
        return _outcome(receiver, seconds)
    finally:
        process.join(KILL_SECONDS)
        process.kill()  # its servers are ended by their watchdog
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
    except Exception:  # reported as the benchmark's result
        sender.send(traceback.format_exc())
    else:
        sender.send(figures)
