"""Servers left over from an owner that was killed: found by their PID file, and ended."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

GRACE_SECONDS = 10.0


def end_leftover(pid_file: Path, program: str, stop_signal: int = signal.SIGTERM) -> None:
    """End the server that the PID file names, if the process still is that server. Removes the file.

    Call it only while holding the lock of the state folder, so that a running server has no owner. PIDs are
    reused, so the command line is checked before a signal is sent.
    """
    pid = _first_number(pid_file)
    if pid is None:
        return
    if program in _command_line(pid):
        _end(pid, stop_signal)
    pid_file.unlink(missing_ok=True)


def _first_number(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _command_line(pid: int) -> str:
    command = ["ps", "-ww", "-p", str(pid), "-o", "command="]
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return ""


def _end(pid: int, stop_signal: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, stop_signal)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and _command_line(pid):
            time.sleep(0.05)
        if _command_line(pid):
            os.kill(pid, signal.SIGKILL)
