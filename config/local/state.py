"""The folder that one installation keeps between starts: its lock, its secrets, where its database lives."""

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.local.program import Account, CannotRun

ELSEWHERE = Path("/var/lib")
KEPT = "kept.json"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Held by one owner at a time, for as long as `lock` is open."""

    path: Path
    lock: IO[str]

    def secret(self, name: str) -> str:
        """Made the first time it is asked for, and the same ever after."""
        return self._kept(name, secrets.token_hex(32))

    def postgres_home(self, account: Account | None) -> Path:
        """In here, if the account that PostgreSQL runs as can come here; else a folder of its own elsewhere.

        A folder that was chosen once stays: data is in it.
        """
        inside = self.path / "postgres"
        if account is None or (inside.exists() and account.reaches(inside)):
            return inside
        if "postgres_home" not in self._read():
            inside.mkdir(mode=0o700, exist_ok=True)
            os.chown(inside, account.uid, account.gid)
            if account.reaches(inside):
                return inside
            inside.rmdir()
        home = Path(self._kept("postgres_home", str(ELSEWHERE / f"yapit-{secrets.token_hex(4)}")))
        if not ELSEWHERE.is_dir() or not account.reaches(ELSEWHERE):
            raise CannotRun(
                f"PostgreSQL refuses to run as root, and the user {account.name} cannot reach {self.path}: "
                "choose a folder that it can reach with --state, or set DATABASE_URL."
            )
        return home

    def _kept(self, name: str, value: str) -> str:
        kept = self._read()
        if name not in kept:
            kept[name] = value
            write_privately(self.path / KEPT, json.dumps(kept, indent=2) + "\n")
        return kept[name]

    def _read(self) -> dict[str, str]:
        try:
            kept: dict[str, str] = json.loads((self.path / KEPT).read_text())
        except FileNotFoundError:
            return {}
        except ValueError as exc:
            raise CannotRun(f"{self.path / KEPT} is damaged: bring it back, or remove {self.path}.") from exc
        return kept


def open_state(path: Path, account: Account | None) -> StateFolder:
    """Make the folder if need be, and take it. Whoever finds it taken is told by whom."""
    path = path.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # As root PostgreSQL runs as somebody else, who has to pass through, but not to look around.
        path.chmod(0o700 if account is None else 0o711)
        lock = (path / "lock").open("a+")
        (path / "lock").chmod(0o600)
    except OSError as exc:
        raise CannotRun(
            f"Cannot write to {path}: {exc.strerror}; choose another folder with --state."
        ) from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise CannotRun(
            f"Another stack (process {owner}) is using {path}: stop it, or choose a folder with --state."
        ) from exc
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return StateFolder(path, lock)


def write_privately(path: Path, text: str) -> None:
    """Readable by the owner only, from the first moment on, and whole or not there at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
