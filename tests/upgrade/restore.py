"""Restores the fixture into a state folder, from which `manage.py run_stack --state FOLDER` continues.

Expiry times of keys are moved so that each key has the time left that it had when the fixture was made, and
so are the ids of dead letters, since old ones are dropped. Leases and delivery times ahead of this machine's
clock are moved back. Everything else keeps the age of the fixture.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from config.local.postgres import NOT_DURABLE, PostgresServer, packaged_binaries
from config.local.program import Keeper, stop, unprivileged_account
from config.local.state import VALUES_FILE, open_state, write_privately
from tests.waiting import PROCESS_PATIENCE

FIXTURE = Path(__file__).with_name("fixture")
STREAM_ID = re.compile(rb"([1-9][0-9]*)-([0-9]+)")


def expected(fixture: Path = FIXTURE) -> dict:
    return json.loads((fixture / "expected.json").read_text())


def restore(state: Path, fixture: Path = FIXTURE) -> None:
    """`state` must be empty or absent; as root, the account of PostgreSQL must be able to reach it."""
    account = unprivileged_account()
    folder = open_state(state, account)
    with folder.lock:
        secrets = json.loads((fixture / "secrets.json").read_text())
        kept = {name: secrets[name] for name in ("SECRET_KEY", "API_KEY_PEPPER")}
        write_privately(state / VALUES_FILE, json.dumps(kept))
        write_privately(state / "credentials.txt", (fixture / "credentials.txt").read_text())
        shutil.copytree(fixture / "audio", state / "audio")
        moved_by = int(time.time() * 1000) - expected(fixture)["made_at_ms"]
        _restore_log(fixture / "appendonlydir", state / "valkey" / "appendonlydir", moved_by)
        server = PostgresServer(
            folder.postgres_home(account), folder.secret("POSTGRES_PASSWORD"), account, settings=NOT_DURABLE
        )
        _restore_database(fixture / "postgres.sql", server)


def _restore_database(dump: Path, server: PostgresServer) -> None:
    keeper = Keeper()
    try:
        process = server.start(keeper.spawn)
        try:
            psql = [str(packaged_binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
            subprocess.run(
                [*psql, "-f", str(dump), server.url],
                check=True,
                timeout=PROCESS_PATIENCE,
                capture_output=True,
            )
        finally:
            stop(process, server.program())
    finally:
        keeper.close()


def _restore_log(source: Path, target: Path, moved_by: int) -> None:
    target.mkdir(parents=True)
    for path in source.iterdir():
        log = path.read_bytes()
        if path.suffix == ".aof":
            log = b"".join(_packed(_moved(command, moved_by)) for command in _commands(log))
        (target / path.name).write_bytes(log)


def _commands(log: bytes) -> Iterator[list[bytes]]:
    """The commands of an append-only file without an RDB preamble."""
    at = 0

    def number(mark: bytes) -> int:
        nonlocal at
        end = log.index(b"\r\n", at)
        line, at = log[at:end], end + 2
        if line[:1] != mark:
            raise ValueError(f"not a file of plain commands: {line[:20]!r} at {at}")
        return int(line[1:])

    while at < len(log):
        parts = []
        for _ in range(number(b"*")):
            size = number(b"$")
            parts.append(log[at : at + size])
            at += size + 2
        yield parts


def _packed(command: list[bytes]) -> bytes:
    parts = (b"$%d\r\n%b\r\n" % (len(part), part) for part in command)
    return b"".join((b"*%d\r\n" % len(command), *parts))


def _moved(command: list[bytes], by: int) -> list[bytes]:
    """The command with its times moved by `by` milliseconds; covers all that Valkey writes in a rewrite."""
    name, key, *rest = command
    back = min(by, 0)
    match name.upper():
        case b"PEXPIREAT":
            rest = [_later(rest[0], by)]
        case b"XADD" if key.startswith(b"dead:"):
            rest[0] = _later_id(rest[0], by)
        case b"XSETID" if key.startswith(b"dead:"):
            rest = [_later_id(part, by) for part in rest]
        case b"ZADD" if key == b"leases":
            rest[::2] = [_later(score, back) for score in rest[::2]]
        case b"XCLAIM":
            at = rest.index(b"TIME") + 1
            rest[at] = _later(rest[at], back)
    return [name, key, *rest]


def _later(milliseconds: bytes, by: int) -> bytes:
    return b"%d" % (int(milliseconds) + by)


def _later_id(part: bytes, by: int) -> bytes:
    found = STREAM_ID.fullmatch(part)
    return b"%d-%b" % (int(found[1]) + by, found[2]) if found else part
