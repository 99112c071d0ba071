"""Creation of audio files, the database router, and system checks of invalid files."""

import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.core.checks import Tags, run_checks

from audiocache import aliases
from audiocache.sqlite import checks
from audiocache.sqlite.models import Entry
from audiocache.sqlite.router import AudioRouter
from audiocache.sqlite.schema import PAGE_SIZE
from config.database.sqlite import sqlite3
from tests.audiocache.audio_blobs import sound
from tests.audiocache.files import MANAGE, made_files
from yapit.models import Document


@pytest.fixture
def aliased_files(files, monkeypatch):
    """Points the aliases at the files of this test."""
    for alias in aliases.ALL:
        monkeypatch.setitem(django_settings.DATABASES[alias], "NAME", files / f"{alias}.sqlite3")
    return files


def ids(*chosen):
    found = run_checks(tags=[Tags.database], databases=chosen or aliases.ALL)
    return [message.id for message in found]


def init(folder, **options):
    """Run init_audiocache in a process, since Django reads file names once per process."""
    environment = {"AUDIO_DIR": str(folder), "PATH": ""}
    command = [sys.executable, str(MANAGE), "init_audiocache"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)


def pragma(path, name):
    db = sqlite3.connect(path)
    try:
        return db.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        db.close()


def test_valid_files_pass(aliased_files):
    assert ids() == []


def test_missing_files_pass(aliased_files):
    for path in aliased_files.glob("*.sqlite3"):
        path.unlink()

    assert ids() == []


def test_files_are_checked_only_where_they_are_used(aliased_files):
    (aliased_files / "audio.sqlite3").write_bytes(b"a letter " * 1000)

    assert ids("default") == []
    assert run_checks(tags=[Tags.database]) == []


def test_a_table_of_another_app_is_an_error(aliased_files, tamper):
    tamper("CREATE TABLE auth_user (id INTEGER)")

    assert ids() == ["audiocache.E001"]


def test_a_file_without_a_write_ahead_log_is_an_error(aliased_files, tamper):
    tamper("PRAGMA journal_mode = DELETE")

    assert ids() == ["audiocache.E002"]


def test_a_file_that_is_not_a_database_is_an_error(aliased_files):
    (aliased_files / "audio.sqlite3").write_bytes(b"a letter " * 1000)

    assert ids() == ["audiocache.E003"]


def test_an_sqlite_with_the_wal_bug_is_a_warning(aliased_files, monkeypatch):
    monkeypatch.setattr(checks, "is_sound", lambda: False)

    assert ids("audio") == ["audiocache.W001"]


def test_init_audiocache_is_repeatable(files, open_store):
    store = open_store(writer=True)
    one = sound()
    store.write_batch([one.put], [])

    again = init(files)  # also while a persister holds the lock

    assert (again.returncode, again.stdout) == (0, "")
    assert store.get(one.hash).audio == one.audio


def test_an_empty_file_gets_the_page_size(tmp_path):
    folder = tmp_path / "new" / "audio"
    folder.mkdir(parents=True)
    early = sqlite3.connect(folder / "audio.sqlite3")
    early.execute("PRAGMA journal_mode = WAL")
    early.close()

    assert init(folder).returncode == 0

    assert pragma(folder / "audio.sqlite3", "page_size") == PAGE_SIZE
    assert pragma(folder / "audio.sqlite3", "auto_vacuum") == 2


def test_a_folder_that_cannot_be_created_ends_with_a_message(tmp_path):
    (tmp_path / "taken").write_text("a file")

    failed = init(tmp_path / "taken" / "audio")

    assert failed.returncode == 1
    assert "cannot be created" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_files_have_only_tables_of_audiocache():
    db = sqlite3.connect(made_files() / "audio.sqlite3")
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()

    assert tables == {"entry", "payload", "stat", "django_migrations", "sqlite_sequence"}


@pytest.mark.parametrize(
    ("alias", "app", "allowed"),
    [
        ("audio", "audiocache", True),
        ("extractions", "audiocache", True),
        ("default", "audiocache", False),
        ("audio", "auth", False),
        ("default", "auth", True),
    ],
)
def test_the_router_assigns_tables_to_databases(alias, app, allowed):
    assert AudioRouter().allow_migrate(alias, app) is allowed


def test_the_router_forbids_relations_to_other_apps():
    router = AudioRouter()

    assert router.allow_relation(Entry(), Document()) is False
    assert router.allow_relation(Entry(), Entry()) is True
    assert router.allow_relation(Document(), Document()) is None
