"""Immediate restarts of PostgreSQL and killed backends while usage is charged: each event is charged once."""

import contextlib
import os
import random
import secrets
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest

from config.local.postgres import PostgresServer
from config.local.program import Keeper, Program, stop, unprivileged_account
from tests.billing.usage_events import publish
from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.slow

RESTARTS, BACKENDS_KILLED = 2, 8


class Server:
    """A PostgreSQL server of the test, which can crash and start again."""

    def __init__(self, folder: Path, keeper: Keeper, ending: contextlib.ExitStack) -> None:
        self.keeper = keeper
        self.log = ending.enter_context((folder / "postgres.log").open("ab"))
        self.server = PostgresServer(
            folder / "postgres", secrets.token_hex(16), account=unprivileged_account()
        )
        self.process = self.server.start(self._launch)
        ending.callback(lambda: stop(self.process, self.server.program()))

    def _launch(self, program: Program):
        return self.keeper.spawn(program, output=self.log)

    def restart(self) -> None:
        self.process.send_signal(signal.SIGQUIT)  # immediate shutdown: like a crash
        self.process.wait(PROCESS_PATIENCE)
        self.keeper.forget(self.process)
        self.process = self._launch(self.server.program())

    def scalar(self, database: str, query: str):
        """The first value of the result; None while the server is unavailable."""
        try:
            with psycopg.connect(database, autocommit=True) as connection:
                return connection.execute(query).fetchone()[0]
        except psycopg.OperationalError:
            return None


@pytest.fixture
def server():
    folder = Path(tempfile.mkdtemp(prefix="yapit-test-"))
    folder.chmod(0o711)  # PostgreSQL may be another user
    with contextlib.ExitStack() as ending:
        keeper = ending.enter_context(contextlib.closing(Keeper()))
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        yield Server(folder, keeper, ending)


def test_restarts_and_killed_backends_lose_no_event_and_charge_none_twice(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", server.server.url)
    stack = Stack.launch(tmp_path)
    with contextlib.closing(stack), stack.redis as redis:
        database = stack.env["DATABASE_URL"]
        users = [1, 2]  # created by the seed
        stack.start("billing", "run_billing", BILLING_BATCH_SIZE="20")
        stop_publishing, spent = threading.Event(), [0]
        publisher = threading.Thread(target=publish_until, args=(stop_publishing, redis, users, spent))
        publisher.start()
        try:
            disrupt(server, database)
        finally:
            stop_publishing.set()
            publisher.join()

        wait_until(lambda: redis.xlen("billing") == 0, PROCESS_PATIENCE)

        assert charged(server, database) == spent[0]
        assert not redis.exists("dead:billing")
        assert "0 findings" in stack.manage("check_ledger")


def disrupt(server: Server, database: str) -> None:
    """Restart the server or kill its backends, each time after some more events have been charged."""
    for number in range(RESTARTS + BACKENDS_KILLED):
        before = wait_until(lambda: charged(server, database), PROCESS_PATIENCE)
        wait_until(lambda least=before: (charged(server, database) or 0) > least, PROCESS_PATIENCE)
        if number % 5 == 4:
            server.restart()
        else:
            server.scalar(
                database,
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()",
            )


def charged(server: Server, database: str):
    return server.scalar(database, "SELECT sum(cost)::bigint FROM billing_ledgerentry")


def publish_until(stop_publishing: threading.Event, redis, users: list[int], spent: list[int]) -> None:
    chance = random.Random(os.getpid())
    while not stop_publishing.wait(0.01):
        if redis.xlen("billing") > 300:
            continue
        chars = chance.randint(1, 50)
        fields = publish(redis, chance.choice(users), chars)
        redis.zadd("finished", {fields[b"id"]: int(fields[b"created_ms"])})
        spent[0] += chars
