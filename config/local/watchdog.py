"""Watchdog: ends the programs of an owner once the owner has ended. A stand-alone script.

Its commands come by standard input, whose end means that the owner has ended. Lower stages are ended first.

    watch PID SIGNAL STAGE    forget PID    remove FOLDER
"""

import contextlib
import os
import shutil
import signal
import sys
import time

GRACE_SECONDS = 8.0


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, tuple[int, int]] = {}
    folders: list[str] = []
    for line in sys.stdin:
        command, _, rest = line.rstrip("\n").partition(" ")
        if command == "watch":
            pid, number, stage = map(int, rest.split())
            watched[pid] = (stage, number)
        elif command == "forget":
            watched.pop(int(rest), None)
        elif command == "remove":
            folders.append(rest)
    for stage in sorted({stage for stage, _ in watched.values()}):
        end({pid: number for pid, (its_stage, number) in watched.items() if its_stage == stage})
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def end(programs: dict[int, int]) -> None:
    for pid, number in programs.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(is_alive(pid) for pid in programs):
        time.sleep(0.02)
    for pid in programs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Ended, but not waited for. Without an init, a container keeps zombies."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
