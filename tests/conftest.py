"""Fixtures for all tests."""

import inspect

import pytest
from django.conf import settings as django_settings

import config.caching
import config.redis.blob_reader
import config.redis.clients
from tests import truncation

truncation.install()


def pytest_configure():
    """Use a fast password hasher: the default takes half a second of CPU for each account of a test."""
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def redis():
    """A synchronous client; Valkey is empty."""
    with config.redis.clients.sync() as client:
        client.flushall()
        yield client


@pytest.fixture
async def async_redis():
    """The asynchronous client of requests; Valkey is empty."""
    client = config.redis.clients.hot()
    await client.flushall()
    return client


@pytest.fixture
def audio_dir(tmp_path, settings):
    """An empty folder as AUDIO_DIR."""
    folder = tmp_path / "audio"
    folder.mkdir()
    settings.AUDIO_DIR = folder
    return folder


@pytest.fixture
async def _closed_pool():
    yield
    await config.caching.stop_listening()
    await config.redis.blob_reader.close_blob_reader()
    await config.redis.clients.close_hot()


@pytest.fixture(autouse=True)
def _each_event_loop_closes_its_pool(request):
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_closed_pool")
