"""The settings for comparing models with migrations, which asks no database: Django leaves dummies alone."""

from config.settings import *  # noqa: F403
from config.settings import DATABASES

DATABASES = {alias: {"ENGINE": "django.db.backends.dummy"} for alias in DATABASES}
