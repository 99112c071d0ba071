"""A running stack shows no secrets to other users of the machine: in files, arguments or open ports."""

import json
import re
from pathlib import Path

import pytest

from tests.config.local.test_run_stack import folder, start  # noqa: F401  # fixtures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into /proc"),
]

LISTENING = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


def test_other_users_of_the_machine_see_no_secrets(start):  # noqa: F811
    stack = start().wait_until_ready()
    values = json.loads((stack.state / "kept.json").read_text())
    pids = descendants(stack.process.pid)

    listening = addresses(pids)
    assert len(listening) >= 3  # PostgreSQL, Valkey, web
    assert set(listening) <= LOOPBACK

    arguments = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)
    secrets = [value for value in values.values() if "/" not in value]
    assert len(secrets) >= 2
    assert not [secret for secret in secrets if secret.encode() in arguments]

    for path in (stack.state, *stack.state.rglob("*")):
        mode = path.lstat().st_mode & 0o077
        # PostgreSQL, as another user, has to enter the folders above its own.
        assert mode in ((0, 0o011) if path.is_dir() else (0,)), (path, oct(mode))
    assert stack.stop() == 0


def descendants(pid):
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in lists for child in path.read_text().split()]
    return [pid, *(below for child in children for below in descendants(child))]


def addresses(pids):
    """Addresses on which these processes listen, in hexadecimal, from the tables of the kernel."""
    files = [str(file.readlink()) for pid in pids for file in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {found[1] for file in files if (found := re.match(r"socket:\[(\d+)\]", file))}
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return [row[1].split(":")[0] for row in rows if row[3] == LISTENING and row[9] in sockets]
