"""Settings for `makemigrations --check` without databases: Django does not query dummy backends."""

from config.settings import *  # noqa: F403
from config.settings import DATABASES

DATABASES = {alias: {"ENGINE": "django.db.backends.dummy"} for alias in DATABASES}
