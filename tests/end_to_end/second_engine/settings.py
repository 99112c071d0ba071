"""Settings with a second engine: this is all that it takes."""

from config.settings import *  # noqa: F403
from config.settings import ENGINES

ENGINES = {
    **{model: {**entry, "workers": 0} for model, entry in ENGINES.items()},
    "pulse": {
        "class": "tests.end_to_end.second_engine.engine.PulseEngine",
        "options": {"hertz": 300, "concurrency": 3},
        "workers": 1,
    },
}
