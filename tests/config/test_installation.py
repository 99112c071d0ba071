"""The state folder and the command line of a checkout and of an installed package."""

import sys
from pathlib import Path

import pytest

from config import installation

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(installation, "IS_CHECKOUT", False)


def test_a_checkout_keeps_its_state_beside_the_code():
    assert installation.default_state_folder() == CHECKOUT / ".state"
    assert installation.management_command_line() == [sys.executable, str(CHECKOUT / "manage.py")]


@pytest.mark.parametrize(
    ("state_home", "folder"),
    [
        ("/srv/state", "/srv/state/yapit"),
        ("", "/home/someone/.local/state/yapit"),
        ("relative", "/home/someone/.local/state/yapit"),
    ],
)
def test_an_installed_package_follows_the_xdg_specification(installed, monkeypatch, state_home, folder):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_STATE_HOME", state_home)

    assert installation.default_state_folder() == Path(folder)


def test_an_installed_package_needs_no_file_in_the_working_directory(installed):
    assert installation.management_command_line() == [sys.executable, "-P", "-m", "yapit", "manage"]
