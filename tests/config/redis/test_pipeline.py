"""Several commands in one write: answers in order, errors in their place, and none of an earlier exchange."""

import pytest
from redis.exceptions import ConnectionError, ResponseError

from config.redis import clients as redis_clients
from config.redis.pipeline import Pipeline, pipeline_of


@pytest.fixture
def wire(redis):
    made = Pipeline.to(redis)
    yield made
    made.close()


def test_answers_come_in_order_and_an_error_is_one_of_them(redis, wire):
    answers = wire.exchange([("SET", "a", b"\x00\xff" * 50_000), ("LPUSH", "a", "x"), ("STRLEN", "a")])

    assert answers[0] in (b"OK", True)
    assert isinstance(answers[1], ResponseError)
    assert answers[2] == 100_000


def test_after_its_connection_was_ended_it_goes_on(redis, wire):
    [before] = wire.exchange([("CLIENT", "ID")])
    redis.client_kill_filter(_id=before)

    [after] = wire.exchange([("CLIENT", "ID")])

    assert after != before


def test_what_was_interrupted_leaves_no_answer_for_the_next(redis, wire, monkeypatch):
    redis.set("a", "first")

    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wire.exchange([("GET", "a")])

    assert wire.exchange([("STRLEN", "a")]) == [5]


def test_a_server_that_is_away_is_no_answer(unused_port):
    client = redis_clients.sync()
    wire = Pipeline.to(client)
    wire._connection.port = unused_port

    with pytest.raises(ConnectionError):
        wire.exchange([("PING",)])
    client.close()


@pytest.fixture
def unused_port():
    from config.local.program import free_port

    return free_port()


def test_a_client_lends_a_connection_and_has_it_back(redis):
    with pipeline_of(redis) as wire:
        wire.exchange([("SET", "a", "1")])

    assert redis.get("a") == b"1"
    assert not redis.connection_pool._in_use_connections
