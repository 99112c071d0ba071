"""Settings of a stack whose audio is in plain files. HOURS_AHEAD moves the clock of the stores."""

import os
import time

from config.settings import *  # noqa: F403
from config.settings import AUDIO_DIR, AUDIO_STORES, DATABASES, INSTALLED_APPS


def clock() -> float:
    return time.time() + 3600 * float(os.environ.get("HOURS_AHEAD", "0"))


DATABASES = {alias: database for alias, database in DATABASES.items() if alias not in AUDIO_STORES}
DATABASE_ROUTERS = []
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "audiocache.sqlite"]
AUDIO_STORES = {
    alias: {
        "class": "tests.audiocache.file_store.FileStore",
        "options": {"folder": AUDIO_DIR / alias, "limit": store["options"]["limit"], "clock": clock},
    }
    for alias, store in AUDIO_STORES.items()
}
