"""Where the real data for tests lies; tests that need it are skipped where it is absent."""

import os
from pathlib import Path

import pytest

_candidate = Path(
    os.environ.get("CMKD_TEST_DATA") or Path(__file__).parents[1].parent / "shared" / "data"
)
DATA: Path | None = _candidate if _candidate.is_dir() else None
needs_real_data = pytest.mark.skipif(DATA is None, reason="no real data folder: set CMKD_TEST_DATA")
