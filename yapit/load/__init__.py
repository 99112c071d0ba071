"""Load generator: simulated listeners behind `load_test` and the benchmarks."""

from yapit.load.closed_loop import run_closed_loop
from yapit.load.measurements import Measurements, percentile
from yapit.load.playback import FETCH_AHEAD, SimulatedPlayback, run_playback
from yapit.load.raw_socket import RawSocket
from yapit.load.report import figures_of, table_of
from yapit.load.simulation import Listener

__all__ = [
    "FETCH_AHEAD",
    "Listener",
    "Measurements",
    "RawSocket",
    "SimulatedPlayback",
    "figures_of",
    "percentile",
    "run_closed_loop",
    "run_playback",
    "table_of",
]
