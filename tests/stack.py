"""A stack of real processes, with a private Valkey and a private database on the PostgreSQL of the tests."""

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from config.local.program import Keeper, Program, free_port
from config.local.valkey import ValkeyServer
from tests.waiting import PROCESS_PATIENCE, wait_until

ROOT = Path(__file__).parent.parent


class Stack:
    """Created by `launch` and ended by `close`. Each process has a log file in `folder`."""

    def __init__(self, folder: Path, database_url: str, **env: str) -> None:
        self.folder = folder
        self.keeper = Keeper()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: dict[str, tuple[str, ...]] = {}
        self.valkey = ValkeyServer(folder / "valkey", secrets.token_hex(8))
        self.valkey_process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._database_url = database_url
        self.env = {
            "PATH": os.defpath,
            "HOME": str(folder),
            "STATE_DIR": str(folder),
            "AUDIO_DIR": str(folder / "audio"),
            "SECRET_KEY": secrets.token_hex(16),
            "API_KEY_PEPPER": secrets.token_hex(16),
            "DATABASE_URL": database_url,
            "DRAIN_SECONDS": "3",
            # Tests use one account for many listeners.
            "BLOCKS_PER_MINUTE": "1000000",
            "MESSAGES_PER_SECOND": "100000",
            "MESSAGES_BURST": "100000",
            "CONNECTIONS_PER_USER": "100000",
            **env,
        }

    @classmethod
    def launch(cls, folder: Path, **env: str) -> "Stack":
        """Start the servers, and run the migrations and the seed. Starts no process of Yapit."""
        stack = cls(folder, make_database(os.environ["DATABASE_URL"]), **env)
        stack.start_valkey()
        for command in (
            ["migrate", "-v0"],
            ["init_audiocache"],
            ["seed", "--credentials", stack.credentials],
        ):
            stack.manage(*map(str, command))
        return stack

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials"

    @property
    def first_key(self) -> str:
        """The API key from the seed."""
        return self.credentials.read_text().split()[-1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.valkey.url, single_connection_client=True)

    def start_valkey(self) -> None:
        """Start Valkey; after a kill on the same port and folder, as a supervisor does."""
        with (self.folder / "valkey.log").open("ab") as log:

            def launch(program: Program) -> subprocess.Popen[bytes]:
                return self.keeper.spawn(program, output=log)

            if self.valkey.port:
                self.valkey_process = launch(self.valkey.program())
                wait_until(self._is_valkey_ready, PROCESS_PATIENCE, "Valkey did not restart")
            else:
                self.valkey_process = self.valkey.start(launch)
        self.env["REDIS_URL"] = self.valkey.url

    def kill_valkey(self) -> None:
        assert self.valkey_process
        self.valkey_process.kill()
        self.valkey_process.wait()
        self.keeper.forget(self.valkey_process)
        self.valkey_process = None

    def _is_valkey_ready(self) -> bool:
        with redis.Redis.from_url(self.valkey.url, socket_timeout=2, retry=None) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:  # not listening yet, or still loading
                return False

    def manage(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PROCESS_PATIENCE,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def start(self, name: str, *command: str, **env: str) -> subprocess.Popen[bytes]:
        """Start `manage.py COMMAND` under a name. Without a command, start the last one of this name."""
        command = command or self.commands[name]
        self.commands[name] = command
        program = Program(name, [sys.executable, "manage.py", *command], {**self.env, **env}, ROOT)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = self.keeper.spawn(program, output=log)
        return self.processes[name]

    def start_cold(self) -> None:
        """Start all processes except the web process and the workers."""
        self.start("results", "run_results")
        self.start("persister", "run_persister")
        self.start("billing", "run_billing")
        self.start("scheduler", "run_scheduler")

    def start_all(self, model: str = "tone", server: str = "daphne") -> None:
        self.start_cold()
        self.start("worker", "run_worker", "--model", model)
        self.start_web(server)

    def start_web(self, server: str = "daphne", name: str = "web", **env: str) -> None:
        self.start(name, "run_web", "--server", server, "--port", str(self.port), **env)
        wait_until(self.is_healthy, PROCESS_PATIENCE, f"the web process is not healthy: {self.log(name)}")

    def is_healthy(self) -> bool:
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        self.keeper.forget(process)

    def stop(self, name: str, timeout: float = PROCESS_PATIENCE) -> int:
        """Send SIGTERM and return the exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout)
        self.keeper.forget(process)
        return code

    def stop_all(self) -> None:
        """Stop all processes in the order of run_stack."""
        order = ["web", "worker", "results", "scheduler", "billing", "persister"]
        for name in sorted(self.processes, key=lambda name: order.index(name.split("-")[0])):
            self.stop(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        if self.valkey_process:
            self.valkey_process.kill()
            self.valkey_process.wait()
        self.keeper.close()

    # --- HTTP client ----------------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body (JSON decoded) and headers (lower case). Sends the Origin of the reader page."""
        sent = {"Origin": self.url, **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PROCESS_PATIENCE) as response:
                return _read(response)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error)

    def get(self, path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
        return self.request("GET", path, headers=headers)

    def make_document(self, content: str, **more: object) -> dict[str, Any]:
        status, body, _ = self.request("POST", "/v1/documents/text", {"content": content, **more})
        assert status == 201, body
        return body

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws") + "/v1/ws/tts"


def _read(response: Any) -> tuple[int, Any, dict[str, str]]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = response.read()
    if headers.get("content-type", "").startswith("application/json"):
        body = json.loads(body) if body else None
    return response.status, body, headers


def make_database(server_url: str) -> str:
    """Create an empty database on the server and return its URL."""
    name = f"stack_{secrets.token_hex(6)}"
    parts = urlsplit(server_url)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlunsplit(parts._replace(path=f"/{name}"))
