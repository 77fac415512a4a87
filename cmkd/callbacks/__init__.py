"""Lightning callbacks."""

from cmkd.callbacks.best_checkpoint import BestCheckpoint
from cmkd.callbacks.channels_last import ChannelsLast
from cmkd.callbacks.checkpoint import StageCheckpoint
from cmkd.callbacks.config import RunConfig
from cmkd.callbacks.dashboard import Dashboard
from cmkd.callbacks.gradient_norms import GradientNorms
from cmkd.callbacks.nonfinite import NonFiniteGuard
from cmkd.callbacks.progress import StageProgressBar
from cmkd.callbacks.results import ResultsTable
from cmkd.callbacks.ridge_probe import RidgeProbe
from cmkd.callbacks.stage_log import StageLog
from cmkd.callbacks.stop_signal import StopOnSignal
from cmkd.callbacks.throughput import Throughput
from cmkd.callbacks.weak_teacher_alarm import WeakTeacherAlarm

__all__ = [
    "BestCheckpoint",
    "ChannelsLast",
    "Dashboard",
    "GradientNorms",
    "NonFiniteGuard",
    "ResultsTable",
    "RidgeProbe",
    "RunConfig",
    "StageCheckpoint",
    "StageLog",
    "StageProgressBar",
    "StopOnSignal",
    "Throughput",
    "WeakTeacherAlarm",
]
