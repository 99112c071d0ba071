"""All clients of Redis verify a TLS server in the same way, as the options of REDIS_URL say."""

import secrets
from urllib.parse import urlsplit

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from django_redis.cache import RedisCache
from redis import exceptions as redis_errors

from config.redis import clients
from config.redis.address import parse
from config.redis.blob_reader import BlobReader
from config.redis.multiplexed import MultiplexedConnection
from tests.config.redis.tls_proxy import make_certificate, tls_proxy

VALUE = secrets.token_bytes(100_000)


async def hot(url):
    return await clients.hot().get("name")


async def subscriber(url):
    async with clients.subscriber() as client:
        return await client.get("name")


async def blocking(url):
    with clients.blocking(0.1) as client:
        return client.get("name")


async def named(url):
    with clients.named("of-a-test") as client:
        return client.get("name")


async def sync(url):
    with clients.sync() as client:
        return client.get("name")


async def multiplexed(url):
    link = MultiplexedConnection(url)
    try:
        return await link.execute("GET", "name")
    finally:
        await link.close()


async def blob_reader(url):
    reader = BlobReader(url)
    try:
        return bytes(await reader.get("name"))
    finally:
        await reader.close()


async def django_cache(url):
    cache = RedisCache(parse(url).url, {"OPTIONS": {"CONNECTION_POOL_KWARGS": parse(url).client_options()}})
    client = cache.client.get_client()
    try:
        return client.get("name")
    finally:
        client.connection_pool.disconnect()


async def channel_layer(url):
    layer = RedisPubSubChannelLayer(hosts=[parse(url).channel_layer_host()], prefix="of-a-test")
    try:
        channel = await layer.new_channel()
        await layer.send(channel, {"type": "value", "value": VALUE})
        return (await layer.receive(channel))["value"]
    finally:
        await layer.flush()


CLIENTS = [hot, subscriber, blocking, named, sync, multiplexed, blob_reader, django_cache, channel_layer]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def target(redis, settings):
    """Port and password of the Valkey behind the proxy."""
    redis.set("name", VALUE)
    return urlsplit(settings.REDIS_URL)


@pytest.mark.parametrize("read", CLIENTS)
@pytest.mark.parametrize(
    ("host", "options", "is_accepted"),
    [
        ("localhost", "", False),
        ("localhost", "ssl_ca_certs={ca}", True),
        ("127.0.0.1", "ssl_ca_certs={ca}", False),  # the certificate is for another host
        ("127.0.0.1", "ssl_ca_certs={ca}&ssl_check_hostname=no", True),
        ("127.0.0.1", "ssl_cert_reqs=none", True),
        ("localhost", "ssl_check_hostname=no", False),
    ],
)
async def test_every_client_verifies_the_server(
    certificate, target, settings, read, host, options, is_accepted
):
    with tls_proxy(certificate, target.port) as port:
        query = options.format(ca=certificate.cert_file)
        settings.REDIS_URL = f"rediss://:{target.password}@{host}:{port}/0?{query}"
        if is_accepted:
            assert await read(settings.REDIS_URL) == VALUE
        else:
            with pytest.raises(redis_errors.ConnectionError):
                await read(settings.REDIS_URL)


@pytest.mark.parametrize("read", CLIENTS)
@pytest.mark.parametrize("is_shown", [False, True])
async def test_every_client_shows_its_own_certificate(certificate, target, settings, read, is_shown):
    own = f"&ssl_certfile={certificate.cert_file}&ssl_keyfile={certificate.key_file}" if is_shown else ""
    with tls_proxy(certificate, target.port, client_ca=certificate.cert_file) as port:
        settings.REDIS_URL = (
            f"rediss://:{target.password}@localhost:{port}/0?ssl_ca_certs={certificate.cert_file}{own}"
        )
        if is_shown:
            assert await read(settings.REDIS_URL) == VALUE
        else:
            with pytest.raises((redis_errors.ConnectionError, redis_errors.TimeoutError)):
                await read(settings.REDIS_URL)
