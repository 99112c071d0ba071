"""The stack of `run_stack`: servers, preparations and processes on one machine.

Where DATABASE_URL or REDIS_URL is set, that server is used and none is started.
"""

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.installation import management_command_line
from config.local.postgres import PostgresServer
from config.local.program import CannotRun, Program, free_port, unprivileged_account
from config.local.state import StateFolder
from config.local.supervisor import Lines, Supervisor
from config.local.valkey import ValkeyServer

HEALTHY_SECONDS = 90.0
MIGRATION_SECONDS = 600.0
DRAIN_SECONDS = 20.0
PROCESS_SECONDS = 5.0  # in which every process except `web` ends
GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class StackOptions:
    project: Path
    host: str
    port: int
    server: str
    multi_user: bool
    web_drain_seconds: float
    processes: Mapping[str, Sequence[str]]
    preparations: Sequence[Sequence[str]]  # commands that run before the processes, one after the other
    drains: Sequence[Sequence[str]]  # commands that run after the processes, before the servers end


class Stack:
    def __init__(
        self, options: StackOptions, state: StateFolder, supervisor: Supervisor, lines: Lines
    ) -> None:
        self.options = options
        self.state = state
        self.supervisor = supervisor
        self.lines = lines
        self.environment = self._environment()
        self.are_processes_started = False

    @property
    def address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.options.host, self.options.host)  # noqa: S104
        return f"[{host}]:{self.options.port}" if ":" in host else f"{host}:{self.options.port}"

    @property
    def addresses_for_others(self) -> list[str]:
        """Addresses for other machines, when the server listens on all interfaces."""
        if self.options.host not in ("0.0.0.0", "::"):  # noqa: S104
            return []
        return [f"{address}:{self.options.port}" for address in outgoing_addresses()]

    def start(self) -> None:
        """Return when the web process is healthy."""
        self._start_servers()
        (self.state.path / "static").mkdir(exist_ok=True)
        for command in self.options.preparations:
            if self.supervisor.run_to_end(self._program(command[0], command), MIGRATION_SECONDS):
                raise CannotRun(f"`manage.py {command[0]}` failed; see its output above.")
        self._start_processes()
        self._await_health()

    def stop(self) -> None:
        """Stop the web process, then all others together, then run the drains, then stop the servers.

        Listeners are served while the web process drains. Unfinished work stays in Redis.
        """
        self.supervisor.stop(["web"])
        self.supervisor.stop(self.options.processes)
        if self.are_processes_started:
            for command in self.options.drains:
                self.supervisor.run_to_end(self._program(command[0], command), DRAIN_SECONDS)
        self.supervisor.stop(["valkey", "postgres"])

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        for name in ("SECRET_KEY", "API_KEY_PEPPER"):
            environment[name] = environment.get(name) or self.state.secret(name)
        environment["STATE_DIR"] = str(self.state.path)
        environment["MULTI_USER"] = "1" if self.options.multi_user else "0"
        environment["PYTHONUNBUFFERED"] = "1"
        if self.options.multi_user:
            environment.setdefault("ALLOWED_HOSTS", ",".join(names_of_this_machine(self.options.host)))
        return environment

    def _start_servers(self) -> None:
        if not self.environment.get("DATABASE_URL"):
            account = unprivileged_account()
            home = self.state.postgres_home(account)
            if not home.is_relative_to(self.state.path):
                self.lines.write("stack", f"PostgreSQL keeps its data in {home}, which its user can reach")
            postgres = PostgresServer(home, self.state.secret("POSTGRES_PASSWORD"), account)
            postgres.start(self.supervisor.start)
            self.environment["DATABASE_URL"] = postgres.url
        if not self.environment.get("REDIS_URL"):
            valkey = ValkeyServer(self.state.path / "valkey", self.state.secret("VALKEY_PASSWORD"))
            valkey.start(self.supervisor.start)
            self.environment["REDIS_URL"] = valkey.url

    def _start_processes(self) -> None:
        ports = {name: free_port() for name in self.options.processes}
        (self.state.path / "metrics.json").write_text(json.dumps(ports, indent=2) + "\n")
        self.are_processes_started = True
        for name, arguments in self.options.processes.items():
            metrics = {"METRICS_PORT": str(ports[name])}
            if name == "web":
                self.supervisor.start(self._web(arguments, metrics))
            else:
                self.supervisor.start(self._program(name, arguments, metrics))

    def _web(self, arguments: Sequence[str], metrics: Mapping[str, str]) -> Program:
        options = self.options
        address = ["--server", options.server, "--host", options.host, "--port", str(options.port)]
        return self._program("web", [*arguments, *address], metrics, options.web_drain_seconds)

    def _program(
        self,
        name: str,
        arguments: Sequence[str],
        metrics: Mapping[str, str] | None = None,
        stop_seconds: float = PROCESS_SECONDS,
    ) -> Program:
        return Program(
            name=name,
            argv=[*management_command_line(), *arguments],
            env={**self.environment, **(metrics or {})},
            cwd=self.options.project,
            stop_seconds=stop_seconds + GRACE_SECONDS,
        )

    def _await_health(self) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while not is_healthy(self.address):
            self.supervisor.tick()
            if time.monotonic() > deadline:
                raise CannotRun("The web process does not become healthy; see the output above.")
            time.sleep(0.1)


def is_healthy(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def names_of_this_machine(host: str) -> list[str]:
    """Names and addresses by which browsers may reach this machine, for ALLOWED_HOSTS."""
    name = socket.gethostname()
    names = ["127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host, name, socket.getfqdn()]
    with contextlib.suppress(OSError):  # a name that no resolver knows
        names += {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
    names += outgoing_addresses()
    return sorted(set(names) - {"0.0.0.0", "[::]"})  # noqa: S104


def outgoing_addresses() -> list[str]:
    """Addresses of the outgoing interfaces. The host name may resolve to the loopback address only."""
    addresses = []
    for family, destination in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((destination, 9))  # sends nothing; the system chooses the source address
            address = probe.getsockname()[0]
            addresses.append(f"[{address}]" if family == socket.AF_INET6 else address)
    return addresses
