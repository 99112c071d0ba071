"""System checks of the settings, and the same checks in processes that skip system checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from config import checks

PROJECT = Path(__file__).parents[2]
MISSING = "yapit.jobs.no_such_function"
VALUES = {  # setting -> a value that names `name`
    "API_MIDDLEWARE": lambda name: [name],
    "AUDIO_LOST_HOOK": lambda name: name,
    "AUDIO_STORES": lambda name: {"audio": {"class": name, "options": {}}},
    "BILLING_BATCH_HOOKS": lambda name: [name],
    "DEAD_LETTERS": lambda name: {"jobs": name},
    "ENGINES": lambda name: {"tone": {"class": name}},
    "JOB_HANDLERS": lambda name: {"speech": name},
    "PERIODIC": lambda name: [(name, 1.0)],
    "PERIODIC_COLD": lambda name: [(name, 1.0)],
}


def ids(errors):
    return [error.id for error in errors]


def test_the_names_in_our_settings_exist():
    assert checks.check_settings() == []


def test_every_setting_with_a_dotted_name_of_ours_is_checked():
    ours = ("audiocache.", "billing.", "yapit.")
    of_django = {"INSTALLED_APPS", "MIDDLEWARE", "DATABASE_ROUTERS", "SESSION_ENGINE"}
    named = {
        setting
        for setting in dir(django_settings)
        if setting.isupper()
        and any(f"'{app}" in repr(getattr(django_settings, setting)) for app in ours)
        and setting not in of_django
    }

    assert named == set(checks.DOTTED_NAMES)


@pytest.mark.parametrize("setting", VALUES)
def test_a_name_that_does_not_exist_is_an_error(settings, setting):
    setattr(settings, setting, VALUES[setting](MISSING))

    assert ids(run_checks()) == ["config.E001"]
    with pytest.raises(CommandError, match=f"{setting} names '{MISSING}'"):
        checks.require(setting)


@pytest.mark.parametrize("setting", VALUES)
def test_a_name_of_something_else_is_an_error(settings, setting):
    setattr(settings, setting, VALUES[setting]("config.settings.DEFAULT_MODEL"))

    assert ids(checks.check_settings(only=[setting])) == ["config.E002"]


def test_a_process_checks_only_the_settings_that_it_resolves(settings):
    settings.BILLING_BATCH_HOOKS = [MISSING]

    checks.require("AUDIO_LOST_HOOK", "PERIODIC")


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("run_billing", "BILLING_BATCH_HOOKS"),
        ("init_audiocache", "AUDIO_STORES"),
        ("run_persister", "AUDIO_LOST_HOOK"),
        ("run_persister", "AUDIO_STORES"),
        ("run_worker", "ENGINES"),
        ("run_worker", "JOB_HANDLERS"),
        ("run_scheduler", "PERIODIC"),
        ("run_scheduler", "PERIODIC_COLD"),
        ("replay_dead", "DEAD_LETTERS"),
    ],
)
def test_processes_without_system_checks_check_what_they_resolve(settings, redis, command, setting):
    setattr(settings, setting, VALUES[setting](MISSING))
    options = {"run_worker": ["--model=tone"], "replay_dead": ["--stream=jobs", "--replay=all"]}

    with pytest.raises(CommandError, match=f"{setting} names '{MISSING}'"):
        call_command(command, *options.get(command, []))


def test_a_worker_checks_its_own_engine_only(settings):
    settings.ENGINES = {"tone": settings.ENGINES["tone"], "other": {"class": MISSING}}

    checks.require_entry("ENGINES", "tone")
    with pytest.raises(CommandError, match=f"ENGINES names '{MISSING}'"):
        checks.require_entry("ENGINES", "other")


@pytest.mark.parametrize(
    "command", ["run_results", "run_billing", "run_persister", "run_worker", "run_scheduler"]
)
def test_no_process_starts_without_its_tls_files(settings, tmp_path, command):
    settings.REDIS_URL = f"rediss://queue?ssl_ca_certs={tmp_path}/none.pem"

    with pytest.raises(CommandError, match=r"TLS files .* cannot be used"):
        call_command(command)


def test_missing_tls_files_of_redis_are_an_error(settings, tmp_path):
    settings.REDIS_URL = f"rediss://queue?ssl_ca_certs={tmp_path}/none.pem"

    assert ids(checks.check_settings()) == ["config.E003"]


def test_a_process_imports_only_what_it_resolves():
    code = """
import sys, django
django.setup()
from django.conf import settings
from config import checks
checks.require("AUDIO_LOST_HOOK")
print(*(name for name in sys.modules if name.startswith(("yapit.engines", "billing.man", "config.asgi"))))
"""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []
