"""Settings of a stack with a worker for the tone engine, which most jobs of the fixture need."""

from config.settings import *  # noqa: F403
from config.settings import ENGINES

ENGINES = {**ENGINES, "tone": {**ENGINES["tone"], "workers": 1}}
