"""Settings from environment variables."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def settings_with(name, **environment):
    code = f"import json, config.settings as s; print(json.dumps({name}, default=str))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_options_of_the_database_url_are_kept():
    url = "postgres://u:p@db.example/yapit?sslmode=require"

    options = settings_with("s.DATABASES['default']['OPTIONS']", DATABASE_URL=url)

    assert options["sslmode"] == "require"
    assert options["pool"]["max_size"] == 4
    assert "lock_timeout=2s" in options["options"]


def test_with_https_cookies_are_secure():
    names = "[s.HTTPS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE]"

    assert settings_with(names, HTTPS="1") == [True] * 3
    assert settings_with(names, HTTPS="0") == [False] * 3


def test_caches_and_channel_layers_are_built_from_the_address_of_redis():
    url = "rediss://ann:secret@queue:6380/2?ssl_cert_reqs=none"

    cache, layer = settings_with(
        "[s.CACHES['default'], s.CHANNEL_LAYERS['default']['CONFIG']['hosts'][0]]", REDIS_URL=url
    )

    expected = {"username": "ann", "password": "secret", "ssl_cert_reqs": "none", "ssl_check_hostname": False}
    assert cache["LOCATION"] == layer["address"] == "rediss://queue:6380/2"
    assert expected.items() <= cache["OPTIONS"]["CONNECTION_POOL_KWARGS"].items()
    assert expected.items() <= layer.items()


def test_an_empty_redis_url_counts_as_unset():
    assert settings_with("s.REDIS_URL", REDIS_URL="") == settings_with(
        "s.CACHES['default']['LOCATION']", REDIS_URL=""
    )
