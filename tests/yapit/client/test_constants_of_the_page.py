"""The client, the load generator and the reader page use the same numbers."""

import re
from pathlib import Path

import pytest

import yapit
from yapit import load, protocol
from yapit.client import read_ahead

SCRIPTS = Path(yapit.__file__).parent / "web/static/yapit/js"


@pytest.mark.parametrize(
    ("script", "name", "value"),
    [
        ("queue.js", "PREFETCH", read_ahead.AHEAD),
        ("queue.js", "PER_MESSAGE", protocol.MAX_INDICES),
        ("queue.js", "ACK_TIMEOUT_MS", read_ahead.ACK_TIMEOUT_SECONDS * 1000),
        ("queue.js", "QUEUED_TIMEOUT_MS", read_ahead.QUEUED_TIMEOUT_SECONDS * 1000),
        ("queue.js", "RESENDS", read_ahead.RESENDS),
        ("queue.js", "RETRIES", read_ahead.MAX_AUDIO_LOSSES),
        ("events.js", "MAX_WATCHED", protocol.MAX_WATCHED),
        ("player.js", "FETCH_AHEAD", load.FETCH_AHEAD),
    ],
)
def test_the_page_has_the_same_number(script, name, value):
    [number] = re.findall(rf"const {name} = ([\d_]+);", (SCRIPTS / script).read_text())

    assert int(number) == value
