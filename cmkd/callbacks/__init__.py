"""Lightning callbacks."""

from cmkd.callbacks.checkpoint import StageCheckpoint
from cmkd.callbacks.config import RunConfig
from cmkd.callbacks.progress import StageProgressBar
from cmkd.callbacks.results import ResultsTable

__all__ = ["ResultsTable", "RunConfig", "StageCheckpoint", "StageProgressBar"]
