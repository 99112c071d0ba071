"""The client and the load generator ask as the reader page does: by the same numbers."""

import re
from pathlib import Path

import pytest

import yapit
from yapit import protocol
from yapit.client import read_ahead as reading
from yapit.load import listeners as generator

SCRIPTS = Path(yapit.__file__).parent / "web/static/yapit/js"


@pytest.mark.parametrize(
    ("script", "name", "ours"),
    [
        ("queue.js", "AHEAD", reading.AHEAD),
        ("queue.js", "PER_MESSAGE", protocol.MAX_INDICES),
        ("queue.js", "SILENCE_MS", reading.SILENCE_SECONDS * 1000),
        ("queue.js", "QUEUED_MS", reading.QUEUED_SECONDS * 1000),
        ("queue.js", "RESENDS", reading.RESENDS),
        ("queue.js", "HEALS", reading.HEALS),
        ("player.js", "FETCH_AHEAD", generator.FETCH_AHEAD),
    ],
)
def test_the_page_has_the_same_number(script, name, ours):
    [theirs] = re.findall(rf"const {name} = ([\d_]+);", (SCRIPTS / script).read_text())

    assert int(theirs) == ours
