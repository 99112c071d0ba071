"""System checks of the settings: dotted names that Django does not resolve, and the TLS files of Redis.

`manage.py check`, `migrate`, `seed` and `run_web` run them with Django's. Processes that skip system checks
to start without a database call `require` with the settings that they resolve.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from config.redis import address
from config.redis.scripts import Script

# The dotted names in the value of each setting.
DOTTED_NAMES: dict[str, Callable[[Any], Iterable[str]]] = {
    "API_MIDDLEWARE": list,
    "AUDIO_LOST_HOOK": lambda name: [name],
    "AUDIO_STORES": lambda stores: [store["class"] for store in stores.values()],
    "BILLING_BATCH_HOOKS": list,
    "DEAD_LETTERS": dict.values,
    "ENGINES": lambda entries: [entry["class"] for entry in entries.values()],
    "JOB_HANDLERS": dict.values,
    "PERIODIC": lambda calls: [name for name, _ in calls],
    "PERIODIC_COLD": lambda calls: [name for name, _ in calls],
}
SCRIPTS = {"DEAD_LETTERS"}  # those that name Lua scripts, and not callables


@register
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, *, only: Iterable[str] = DOTTED_NAMES, **kwargs: Any
) -> list[CheckMessage]:
    """Check the TLS files of Redis and the dotted names of these settings, which are imported."""
    return [*_check_redis_files(), *(error for setting in only for error in _check_names(setting))]


def require(*names: str) -> None:
    """Check these settings, and the TLS files. Raises CommandError with all errors. Uses no database."""
    _raise(check_settings(only=names))


def require_entry(setting: str, key: str) -> None:
    """Like `require`, for one entry of a dictionary: a worker imports one engine and one handler."""
    entry = {key: getattr(settings, setting)[key]}
    names = DOTTED_NAMES[setting](entry)
    _raise([*_check_redis_files(), *(error for name in names for error in _check_name(setting, name))])


def _raise(errors: Sequence[CheckMessage]) -> None:
    if errors:
        raise CommandError("\n".join(str(error) for error in errors))


def _check_names(setting: str) -> Iterator[CheckMessage]:
    for name in DOTTED_NAMES[setting](getattr(settings, setting)):
        yield from _check_name(setting, name)


def _check_name(setting: str, name: str) -> Iterator[CheckMessage]:
    try:
        found = import_string(name)
    except ImportError as error:
        yield Error(f"{setting} names {name!r}, which cannot be imported: {error}", id="config.E001")
        return
    if setting in SCRIPTS and not isinstance(found, Script):
        yield Error(f"{setting} names {name!r}, which is not a Lua script.", id="config.E002")
    if setting not in SCRIPTS and not callable(found):
        yield Error(f"{setting} names {name!r}, which is not callable.", id="config.E002")


def _check_redis_files() -> Iterator[CheckMessage]:
    tls = address.parse(settings.REDIS_URL).tls
    if tls is None:
        return
    try:
        tls.context()
    except OSError as error:
        yield Error(f"The TLS files that REDIS_URL names cannot be used: {error}", id="config.E003")
