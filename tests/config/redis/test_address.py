"""Parsing of REDIS_URL: one meaning for all clients, and a refusal for what only some of them would read."""

import ssl
import subprocess
import sys

import pytest
from redis.asyncio.connection import parse_url

from config.redis.address import BadRedisUrl, RedisAddress, Tls, parse

PARSED = {
    "redis://": RedisAddress(),
    "redis://queue.internal": RedisAddress(host="queue.internal"),
    "redis://queue.internal:6380/2": RedisAddress(host="queue.internal", port=6380, db=2),
    "redis://queue.internal/?db=2": RedisAddress(host="queue.internal", db=2),
    "redis://:se%23cret@[::1]:6380/0": RedisAddress(host="::1", port=6380, password="se#cret"),
    "redis://ann:p%40ss@queue/1": RedisAddress(host="queue", db=1, username="ann", password="p@ss"),
    "redis://ann@queue": RedisAddress(host="queue", username="ann"),
    "redis://queue?username=ann&password=a%20b": RedisAddress(host="queue", username="ann", password="a b"),
    "unix:///run/redis.sock": RedisAddress(path="/run/redis.sock"),
    "unix://ann:secret@/run/my%20redis.sock?db=3": RedisAddress(
        path="/run/my redis.sock", db=3, username="ann", password="secret"
    ),
    "rediss://queue": RedisAddress(host="queue", tls=Tls()),
    "rediss://queue:6380/1?ssl_ca_certs=/etc/ca.pem": RedisAddress(
        host="queue", port=6380, db=1, tls=Tls(ca_file="/etc/ca.pem")
    ),
    "rediss://queue?ssl_cert_reqs=none": RedisAddress(
        host="queue", tls=Tls(cert_reqs="none", check_hostname=False)
    ),
    "rediss://queue?ssl_cert_reqs=optional&ssl_check_hostname=No": RedisAddress(
        host="queue", tls=Tls(cert_reqs="optional", check_hostname=False)
    ),
    "rediss://queue?ssl_ca_path=/etc/ca&ssl_certfile=c.pem&ssl_keyfile=k.pem&ssl_password=x": RedisAddress(
        host="queue", tls=Tls(ca_folder="/etc/ca", cert_file="c.pem", key_file="k.pem", key_password="x")
    ),
}
REFUSED = {
    "": "must begin with redis://",
    "http://queue": "must begin with redis://",
    "queue:6379": "must begin with redis://",
    "redis://queue:none/0": "host or port",
    "redis://queue:99999": "host or port",
    "redis://[queue]:6379": "host or port",
    "redis://:sec#ret@queue": "'#'",
    "redis://:sec/ret@queue": "host or port",
    "redis://queue/first": "database is not a number",
    "redis://queue/0/1": "database is not a number",
    "redis://queue?db=-1": "database is not a number",
    "redis://queue/1?db=2": "database is given twice",
    "redis://queue?db=1&db=2": "option is given twice",
    "redis://:a@queue?password=b": "password is given twice",
    "redis://queue?socket_timeout=5": "'socket_timeout' is not known",
    "redis://queue?password=": "has no value",
    "redis://queue?ssl_cert_reqs=none": "rediss://",
    "unix:///run/redis.sock?ssl_cert_reqs=none": "rediss://",
    "unix://redis.sock": "absolute path",
    "unix://host/redis.sock": "absolute path",
    "rediss://queue?ssl_cert_reqs=CERT_NONE": "ssl_cert_reqs must be one of required, optional, none",
    "rediss://queue?ssl_check_hostname=maybe": "yes or no",
    "rediss://queue?ssl_cert_reqs=none&ssl_check_hostname=yes": "certificate that is verified",
    "rediss://queue?ssl_keyfile=k.pem": "need ssl_certfile",
    "rediss://queue?ssl_min_version=771": "'ssl_min_version' is not known",
}


@pytest.mark.parametrize(("url", "address"), PARSED.items())
def test_an_address_has_one_meaning(url, address):
    assert parse(url) == address


@pytest.mark.parametrize(("url", "problem"), REFUSED.items())
def test_other_addresses_are_refused_with_the_reason(url, problem):
    with pytest.raises(BadRedisUrl, match=problem):
        parse(url)


@pytest.mark.parametrize("url", PARSED)
def test_the_options_for_redis_py_say_the_same_as_the_address(url):
    address = parse(url)

    options = {**address.client_options(), **parse_url(address.url)}

    assert "ssl_cert_reqs" not in address.url
    assert "secret" not in address.url
    assert (options.get("username"), options.get("password")) == (address.username, address.password)
    assert options["db"] == address.db
    if address.path is not None:
        assert options["path"] == address.path
    else:
        assert (options["host"], options["port"]) == (address.host, address.port)
    assert any(name.startswith("ssl_") for name in options) == (address.tls is not None)


def test_secrets_are_not_in_the_representation():
    address = parse("rediss://:hidden@queue?ssl_certfile=c.pem&ssl_password=hidden")

    assert "hidden" not in repr(address)


@pytest.mark.parametrize(
    ("url", "greeting"),
    [
        ("redis://queue", []),
        ("redis://:secret@queue/2", [("AUTH", "secret"), ("SELECT", 2)]),
        ("redis://ann:secret@queue", [("AUTH", "ann", "secret")]),
        ("redis://ann@queue", [("AUTH", "ann", "")]),
    ],
)
def test_a_connection_logs_in_and_selects_its_database(url, greeting):
    assert parse(url).greeting() == greeting


def test_a_context_verifies_as_the_options_say():
    assert Tls().context().verify_mode == ssl.CERT_REQUIRED
    assert Tls().context().check_hostname
    assert Tls(cert_reqs="none", check_hostname=False).context().verify_mode == ssl.CERT_NONE
    assert not Tls(check_hostname=False).context().check_hostname


def test_a_bad_address_is_refused_at_start_up():
    environment = {"REDIS_URL": "rediss://:hidden@queue?ssl_cert_reqs=never"}

    started = subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode
    assert started.stderr.splitlines()[-1].endswith(
        "REDIS_URL: ssl_cert_reqs must be one of required, optional, none."
    )
    assert "hidden" not in started.stderr
