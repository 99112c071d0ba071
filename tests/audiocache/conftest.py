"""Fixtures: stores on audio files of one test."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connections

from audiocache.sqlite import SqliteStore
from audiocache.store import store_for
from config.database.sqlite import sqlite3
from tests.audiocache.audio_blobs import NOW
from tests.audiocache.files import copy_files

pytest.register_assert_rewrite("tests.audiocache.store_contract")


class Clock:
    """A clock that the test sets, in seconds since 1970."""

    def __init__(self):
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def files(tmp_path) -> Path:
    """A folder with an empty audio file for each alias."""
    return copy_files(tmp_path / "files")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store(files, clock):
    """Opens stores on the same file, as separate processes would."""
    opened = []

    def open_one(
        *, limit: int = 10**9, writer: bool = False, path: Path | None = None, **options
    ) -> SqliteStore:
        store = SqliteStore(path or files / "audio.sqlite3", limit, clock=clock, busy_seconds=0.05, **options)
        opened.append(store)
        if writer:
            store.open_writer()
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store) -> SqliteStore:
    """A store that holds the writer lock."""
    return open_store(writer=True)


@pytest.fixture
def tamper(files) -> Callable[..., None]:
    """Changes the file by SQL, bypassing the stores."""

    def execute(sql: str, *parameters: object) -> None:
        db = sqlite3.connect(files / "audio.sqlite3", isolation_level=None)
        db.execute(sql, parameters)
        db.close()

    return execute


@pytest.fixture
def shown(files, monkeypatch):
    """Points the alias `audio` at the file of this test, for Django as well."""
    path = files / "audio.sqlite3"
    monkeypatch.setitem(django_settings.AUDIO_STORES["audio"]["options"], "path", path)
    monkeypatch.setitem(django_settings.DATABASES["audio"], "NAME", path)
    monkeypatch.setitem(connections["audio"].settings_dict, "NAME", path)
    connections["audio"].close()
    store_for.cache_clear()
    yield path
    connections["audio"].close()
    store_for.cache_clear()
