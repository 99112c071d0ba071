"""What the environment does to the settings."""

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


def test_what_a_database_address_asks_for_is_kept():
    url = "postgres://u:p@db.example/yapit?sslmode=require"

    options = settings_with("s.DATABASES['default']['OPTIONS']", DATABASE_URL=url)

    assert options["sslmode"] == "require"
    assert options["pool"]["max_size"] == 4
    assert "lock_timeout=2s" in options["options"]


def test_over_tls_cookies_stay_on_it():
    names = "[s.HTTPS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE]"

    assert settings_with(names, HTTPS="1") == [True] * 3
    assert settings_with(names, HTTPS="0") == [False] * 3
