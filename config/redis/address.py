"""REDIS_URL, parsed once for all clients: server, credentials, database and TLS options. No Django.

`redis://`, `rediss://` (TLS) and `unix://` addresses take the options in OPTIONS and TLS_OPTIONS, which are
those of redis-py. Others are refused: each client would read them in its own way, or not at all. How long to
wait and how often to repeat is decided by each client in `config.redis.clients`.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

DEFAULT_PORT = 6379
OPTIONS = ("db", "username", "password")
TLS_OPTIONS = (
    "ssl_cert_reqs",  # required (the default), optional, none: whether the certificate is verified
    "ssl_check_hostname",  # whether the certificate must be for the host of the address
    "ssl_ca_certs",  # a file of trusted authorities, instead of those of the system
    "ssl_ca_path",  # or a folder
    "ssl_certfile",  # the client's certificate, where the server asks for one
    "ssl_keyfile",
    "ssl_password",  # of that key
)
CERT_REQS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class BadRedisUrl(ValueError):
    """REDIS_URL cannot be used. The message never contains the URL, which may hold a password."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"REDIS_URL: {problem}")


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted and the server verified."""

    cert_reqs: str = "required"
    check_hostname: bool = True
    ca_file: str | None = None
    ca_folder: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """For connections of asyncio. Reads the files, in some 15 ms. Raises OSError (an SSLError is one)."""
        context = ssl.create_default_context()
        context.check_hostname = self.check_hostname
        context.verify_mode = CERT_REQS[self.cert_reqs]
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file, self.key_password)
        if self.ca_file or self.ca_folder:
            context.load_verify_locations(self.ca_file, self.ca_folder)
        return context

    def client_options(self) -> dict[str, Any]:
        """The same for redis-py."""
        return {
            "ssl_cert_reqs": self.cert_reqs,
            "ssl_check_hostname": self.check_hostname,
            "ssl_ca_certs": self.ca_file,
            "ssl_ca_path": self.ca_folder,
            "ssl_certfile": self.cert_file,
            "ssl_keyfile": self.key_file,
            "ssl_password": self.key_password,
        }


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is and how to log in. With `path`, a Unix socket; `host` and `port` are unused then."""

    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None

    @property
    def url(self) -> str:
        """Server and database, without credentials or TLS options."""
        if self.path is not None:
            return f"unix://{quote(self.path)}?db={self.db}"
        host = f"[{quote(self.host, safe=':')}]" if ":" in self.host else quote(self.host)
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for `from_url` of redis-py, and libraries that use it, in addition to `url`."""
        options: dict[str, Any] = {}
        if self.username is not None:
            options["username"] = self.username
        if self.password is not None:
            options["password"] = self.password
        return options | (self.tls.client_options() if self.tls else {})

    def channel_layer_host(self) -> dict[str, Any]:
        """An entry of `hosts` in the configuration of channels_redis."""
        return {"address": self.url, **self.client_options()}

    def greeting(self) -> list[tuple[str | int, ...]]:
        """The commands that log in to a new connection and select its database."""
        commands: list[tuple[str | int, ...]] = []
        if self.username is not None:
            commands.append(("AUTH", self.username, self.password or ""))
        elif self.password is not None:
            commands.append(("AUTH", self.password))
        if self.db:
            commands.append(("SELECT", self.db))
        return commands


@lru_cache
def parse(url: str) -> RedisAddress:
    """Raises BadRedisUrl."""
    if "#" in url:
        raise BadRedisUrl("it contains a '#'; write %23 where one is meant.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may contain the password, where a character in that is not quoted
        raise BadRedisUrl("the host or port is not valid; quote special characters as %XX.") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise BadRedisUrl("it must begin with redis://, rediss:// or unix://.")
    options = _options(parts)
    username = _only_one("username", parts.username and unquote(parts.username), options.get("username"))
    password = _only_one("password", parts.password and unquote(parts.password), options.get("password"))
    if parts.scheme == "unix":
        path, db = _socket_path(parts), _database(options.get("db"))
        return RedisAddress(path=path, db=db, username=username, password=password)
    return RedisAddress(
        host=unquote(parts.hostname or "localhost"),
        port=DEFAULT_PORT if port is None else port,
        db=_database(_only_one("database", parts.path.removeprefix("/"), options.get("db"))),
        username=username,
        password=password,
        tls=_tls(options) if parts.scheme == "rediss" else None,
    )


def _options(parts: SplitResult) -> dict[str, str]:
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(given)
    if len(options) < len(given):
        raise BadRedisUrl("an option is given twice.")
    known = (*OPTIONS, *TLS_OPTIONS) if parts.scheme == "rediss" else OPTIONS
    for name, value in options.items():
        if name in TLS_OPTIONS and name not in known:
            raise BadRedisUrl(f"the option {name} needs an address that begins with rediss://.")
        if name not in known:
            raise BadRedisUrl(f"the option {name!r} is not known; known are {', '.join(known)}.")
        if not value:
            raise BadRedisUrl(f"the option {name} has no value.")
    return options


def _only_one(name: str, in_address: str | None, in_option: str | None) -> str | None:
    if in_address and in_option:
        raise BadRedisUrl(f"the {name} is given twice.")
    return in_address or in_option


def _database(text: str | None) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise BadRedisUrl("the database is not a number.")
    return int(text or 0)


def _socket_path(parts: SplitResult) -> str:
    if parts.hostname or not parts.path.startswith("/"):
        raise BadRedisUrl("a Unix socket needs an absolute path: unix:///run/redis.sock.")
    return unquote(parts.path)


def _tls(options: Mapping[str, str]) -> Tls:
    cert_reqs = options.get("ssl_cert_reqs", "required")
    if cert_reqs not in CERT_REQS:
        raise BadRedisUrl(f"ssl_cert_reqs must be one of {', '.join(CERT_REQS)}.")
    check_hostname = BOOLEANS.get(options.get("ssl_check_hostname", "yes").lower())
    if check_hostname is None:
        raise BadRedisUrl("ssl_check_hostname must be yes or no.")
    if check_hostname and "ssl_check_hostname" in options and cert_reqs == "none":
        raise BadRedisUrl("ssl_check_hostname=yes needs a certificate that is verified; see ssl_cert_reqs.")
    if "ssl_certfile" not in options and {"ssl_keyfile", "ssl_password"} & options.keys():
        raise BadRedisUrl("ssl_keyfile and ssl_password need ssl_certfile.")
    return Tls(
        cert_reqs=cert_reqs,
        check_hostname=check_hostname and cert_reqs != "none",
        ca_file=options.get("ssl_ca_certs"),
        ca_folder=options.get("ssl_ca_path"),
        cert_file=options.get("ssl_certfile"),
        key_file=options.get("ssl_keyfile"),
        key_password=options.get("ssl_password"),
    )
