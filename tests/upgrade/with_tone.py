"""Settings of a stack with a worker for the tone engine, which most jobs of the fixture need."""

from config.settings import *  # noqa: F403
from config.settings import STACK_PROCESSES

STACK_PROCESSES = {**STACK_PROCESSES, "worker-tone": ["run_worker", "--model", "tone"]}
