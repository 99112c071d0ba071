"""Fixtures: file stores on a folder of one test, instead of SQLite stores."""

import shutil

import pytest

from tests.audiocache.file_store import FileStore


@pytest.fixture
def open_store(tmp_path, clock):
    opened = []

    def open_one(*, limit=10**9, writer=False, **options):
        store = FileStore(tmp_path / "audio", limit, clock=clock, **options)
        opened.append(store)
        if writer:
            store.open_writer()
        return store

    open_one().prepare()
    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def damage(tmp_path):
    def damage_one(one, part):
        path = tmp_path / "audio" / f"{one.hash}.{'meta' if part == 'header' else 'audio'}"
        if part == "missing":
            path.unlink()
        else:
            path.write_bytes(bytes(path.stat().st_size))

    return damage_one


@pytest.fixture
def corrupt(tmp_path):
    return lambda: (tmp_path / "audio" / "index.json").write_text("a letter to a friend")


@pytest.fixture
def remove(tmp_path):
    return lambda: shutil.rmtree(tmp_path / "audio")
