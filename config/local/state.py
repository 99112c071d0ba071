"""The state folder of one installation: its lock, its secrets, and the location of its database."""

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.local.program import CannotRun, SystemAccount

ALTERNATIVE_PARENT = Path("/var/lib")
VALUES_FILE = "kept.json"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Used by one owner at a time, while `lock` is open."""

    path: Path
    lock: IO[str]

    def secret(self, name: str) -> str:
        """Generated on first use and stored."""
        return self._stored(name, secrets.token_hex(32))

    def postgres_home(self, account: SystemAccount | None) -> Path:
        """A folder in here if the account of PostgreSQL can reach it, otherwise one in ALTERNATIVE_PARENT.

        The choice is stored, since the folder holds data.
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
        home = Path(self._stored("postgres_home", str(ALTERNATIVE_PARENT / f"yapit-{secrets.token_hex(4)}")))
        if not ALTERNATIVE_PARENT.is_dir() or not account.reaches(ALTERNATIVE_PARENT):
            raise CannotRun(
                f"PostgreSQL refuses to run as root, and the user {account.name} cannot reach {self.path}: "
                "choose a folder that it can reach with --state, or set DATABASE_URL."
            )
        return home

    def _stored(self, name: str, value: str) -> str:
        values = self._read()
        if name not in values:
            values[name] = value
            write_privately(self.path / VALUES_FILE, json.dumps(values, indent=2) + "\n")
        return values[name]

    def _read(self) -> dict[str, str]:
        try:
            values: dict[str, str] = json.loads((self.path / VALUES_FILE).read_text())
        except FileNotFoundError:
            return {}
        except ValueError as exc:
            raise CannotRun(
                f"{self.path / VALUES_FILE} is damaged: restore it, or remove {self.path}."
            ) from exc
        return values


def open_state(path: Path, account: SystemAccount | None) -> StateFolder:
    """Create the folder if necessary and lock it. Raises CannotRun, naming the process that holds it."""
    path = path.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # As root, PostgreSQL runs as another user, which has to enter the folder but not to list it.
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
    """Write a file atomically, readable by the owner only from the beginning."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
