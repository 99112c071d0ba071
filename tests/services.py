"""Pytest plugin: a private PostgreSQL and Valkey, started before Django reads its settings.

Loaded by `-p tests.services`. Tests never use the servers of DATABASE_URL and REDIS_URL. With `-n`, each
worker process has its own servers, and the controller has none.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from config.local.postgres import NOT_DURABLE, PostgresServer
from config.local.program import CannotRun, Keeper, Program, stop, unprivileged_account
from config.local.valkey import ValkeyServer


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-django, whose hook also is `tryfirst`
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    if is_xdist_controller(early_config):
        # The same in all workers, so that tests parametrized with a set have the same order.
        os.environ.setdefault("PYTHONHASHSEED", str(secrets.randbelow(2**32)))
        return (yield)
    services = contextlib.ExitStack()
    early_config.add_cleanup(services.close)
    try:
        os.environ.update(start(services))
    except CannotRun as exc:
        raise pytest.UsageError(str(exc)) from exc
    return (yield)


def is_xdist_controller(config: pytest.Config) -> bool:
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return not is_worker and bool(getattr(config.known_args_namespace, "numprocesses", None))


def start(services: contextlib.ExitStack) -> dict[str, str]:
    """Start both servers and return the environment of the tests. Closing `services` stops them."""
    folder = Path(tempfile.mkdtemp(prefix="yapit-tests-"))
    services.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o711)  # PostgreSQL may run as another user
    (folder / "audio").mkdir()  # of the test databases of the audio aliases
    keeper = services.enter_context(contextlib.closing(Keeper()))
    keeper.remove_at_the_end(folder)
    log = services.enter_context((folder / "services.log").open("ab"))

    def launch(program: Program):
        process = keeper.spawn(program, output=log)
        services.callback(end, keeper, process, program)
        return process

    postgres = PostgresServer(
        folder / "postgres", secrets.token_hex(16), account=unprivileged_account(), settings=NOT_DURABLE
    )
    valkey = ValkeyServer(folder / "valkey", secrets.token_hex(16))
    for server in (postgres, valkey):
        with_log(server.start, launch, folder / "services.log")
    (folder / "static").mkdir()  # WhiteNoise warns if it does not exist
    return {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "STATE_DIR": str(folder),
        "AUDIO_DIR": str(folder / "audio"),
        "SECRET_KEY": secrets.token_hex(32),
        "API_KEY_PEPPER": secrets.token_hex(32),
        "SHARED_RESPONSES": "0",  # or tests would be served responses of other tests
    }


def end(keeper: Keeper, process, program: Program) -> None:
    stop(process, program)
    keeper.forget(process)


def with_log(start_server: Callable, launch: Callable, log: Path) -> None:
    try:
        start_server(launch)
    except CannotRun as exc:
        raise CannotRun(f"{exc}\n{log.read_text(errors='replace')[-2000:]}") from exc
