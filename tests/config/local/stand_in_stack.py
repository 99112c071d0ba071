"""Settings of a test stack: real servers, a real web process, and stand-ins for the other processes."""

from tests.config.serving.stand_in_web import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.config.local.stand_in_commands"]  # noqa: F405
STACK_PREPARATIONS = [["stand_in_seed", "--credentials", "{credentials}"]]
ENGINES = {}
STACK_PROCESSES = {
    "web": ["run_web"],
    "worker": ["stand_in_process", "worker"],
    "persister": ["stand_in_process", "persister"],
}
STACK_DRAINS = [["stand_in_process", "drain", "--once"]]
