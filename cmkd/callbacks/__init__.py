"""Lightning callbacks."""

from cmkd.callbacks.checkpoint import StageCheckpoint
from cmkd.callbacks.config import RunConfig
from cmkd.callbacks.nonfinite import NonFiniteGuard
from cmkd.callbacks.progress import StageProgressBar
from cmkd.callbacks.results import ResultsTable
from cmkd.callbacks.ridge_probe import RidgeProbe
from cmkd.callbacks.stop_signal import StopOnSignal

__all__ = [
    "NonFiniteGuard",
    "ResultsTable",
    "RidgeProbe",
    "RunConfig",
    "StageCheckpoint",
    "StageProgressBar",
    "StopOnSignal",
]
