"""Fixture of drills, and their reports in the summary of pytest."""

import os
import time

import pytest

from tests.faults.drill import ROLES, Drill, Plan

LINES = pytest.StashKey[list[str]]()
SECONDS = float(os.environ.get("DRILL_SECONDS", "60"))


def pytest_configure(config):
    config.stash[LINES] = []


def pytest_terminal_summary(terminalreporter):
    for line in terminalreporter.config.stash.get(LINES, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def seed():
    """DRILL_SEED repeats the kills and texts of another run, not its timing."""
    return int(os.environ.get("DRILL_SEED", time.time_ns() % 100_000))


@pytest.fixture
def drill(tmp_path, seed, request):
    """A factory of drills; keyword arguments change the plan."""
    made = []

    def make(roles=ROLES, **changes):
        plan = Plan(**{"seed": seed, "seconds": SECONDS, **changes})
        folder = tmp_path / f"drill-{len(made)}"
        folder.mkdir()
        made.append(Drill(folder, plan, roles, os.environ["DATABASE_URL"]))
        return made[-1]

    yield make
    for each in made:
        request.config.stash[LINES].append(f"{request.node.name}: {each.report}")
