"""Several commands in one write: replies in order, errors in their place, none of an earlier exchange."""

import pytest
from django.conf import settings
from redis import BlockingConnectionPool, Redis
from redis import connection as redis_connection
from redis.exceptions import ConnectionError, ResponseError

from config.redis import clients as redis_clients
from config.redis.pipeline import Pipeline, pipeline_of


@pytest.fixture
def pipeline(redis):
    opened = Pipeline.to(redis)
    yield opened
    opened.close()


def test_replies_come_in_order_and_an_error_is_one_of_them(redis, pipeline):
    replies = pipeline.exchange([("SET", "a", b"\x00\xff" * 50_000), ("LPUSH", "a", "x"), ("STRLEN", "a")])

    assert replies[0] in (b"OK", True)
    assert isinstance(replies[1], ResponseError)
    assert replies[2] == 100_000


def test_a_lost_connection_is_opened_again(redis, pipeline):
    [before] = pipeline.exchange([("CLIENT", "ID")])
    redis.client_kill_filter(_id=before)

    [after] = pipeline.exchange([("CLIENT", "ID")])

    assert after != before


def test_an_interrupted_exchange_leaves_no_reply_for_the_next(redis, pipeline, monkeypatch):
    redis.set("a", "first")

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(redis_connection.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pipeline.exchange([("GET", "a")])

    assert pipeline.exchange([("STRLEN", "a")]) == [5]


def test_an_unreachable_server_raises(unused_port, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{unused_port}/0"
    client = redis_clients.sync()
    pipeline = Pipeline.to(client)

    with pytest.raises(ConnectionError):
        pipeline.exchange([("PING",)])
    client.close()


@pytest.fixture
def unused_port():
    from config.local.program import free_port

    return free_port()


def test_a_connection_of_the_client_is_returned_to_its_pool(redis):
    pool = BlockingConnectionPool.from_url(settings.REDIS_URL, max_connections=1, timeout=1)
    with Redis(connection_pool=pool) as client:
        with pipeline_of(client) as pipeline:
            pipeline.exchange([("SET", "a", "1")])

        assert client.get("a") == b"1"  # on the only connection of the pool
