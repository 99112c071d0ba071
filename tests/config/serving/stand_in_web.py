"""Settings of web processes of tests."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.config.serving.stand_in_app"
ASGI_APPLICATION = "tests.config.serving.stand_in_app.application"
DATABASE_ROUTERS = []
