"""The folders that a report can be made of, and what is missing in others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cmkd.report.metrics_log import MetricsLog


@dataclass(frozen=True)
class RunFolder:
    """What a run left.

    Attributes:
        path: its folder.
        config_path: the config it was last started with.
        config: its content.
        metrics: what it logged.
        checkpoint: of the best student; may not be there.
    """

    path: Path
    config_path: Path
    config: Mapping[str, Any]
    metrics: MetricsLog
    checkpoint: Path


def is_comparison(path: Path) -> bool:
    """Return whether a folder is that of ``cmkd compare``; else it is, or should be, a run's.

    Raises:
        ValueError: for a folder that is neither; says what is missing.
    """
    if not path.is_dir():
        raise ValueError(f"there is no folder '{path}'")
    has = {
        name for name in ("config.yaml", "metrics.csv", "results.csv") if (path / name).is_file()
    }
    if "results.csv" in has:
        return True
    if "config.yaml" in has:
        return False
    if (path / "runs").is_dir() and any((path / "runs").glob("*.json")):
        raise ValueError(
            f"'{path}' has no results.csv: its comparison has not come to its table; run the same "
            "`cmkd compare` again, it does only what is not finished"
        )
    below = sorted(str(found.parent.relative_to(path)) for found in path.glob("*/config.yaml"))
    if below:
        raise ValueError(f"'{path}' holds {len(below)} runs; name one of them: {', '.join(below)}")
    state = "no folder of cmkd" if any(path.iterdir()) else "empty"
    raise ValueError(
        f"'{path}' is {state}: it has neither config.yaml and metrics.csv, written by `cmkd fit`, "
        "nor results.csv of `cmkd compare`"
    )


def read_run(path: Path, checkpoint: Path | None = None) -> RunFolder:
    """Read the folder of a run.

    Args:
        path: the folder.
        checkpoint: by default ``best.ckpt`` among the run's.

    Raises:
        ValueError: for files that are missing or hold something else.
    """
    config_path = _latest_config(path)
    if not (path / "metrics.csv").is_file():
        raise ValueError(
            f"'{path}' has no metrics.csv: the run ended before it logged anything, or "
            "trainer.logger replaced the CSV logger"
        )
    config = _config(config_path)
    accumulate = int(config["model"].get("accumulate") or 1)
    own = (config.get("checkpoint") or {}).get("dirpath") or path / "checkpoints"
    return RunFolder(
        path=path,
        config_path=config_path,
        config=config,
        metrics=MetricsLog.read(path, accumulate),
        checkpoint=checkpoint or Path(own) / "best.ckpt",
    )


def _latest_config(path: Path) -> Path:
    """Return the config of the last resume; the first one has no number."""
    number = 1
    latest = path / "config.yaml"
    while (following := path / f"config-{number}.yaml").is_file():
        latest, number = following, number + 1
    return latest


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    for key in ("model", "data"):
        if not isinstance(config, dict) or not isinstance(config.get(key), dict):
            raise ValueError(f"{path} has no '{key}': it is no config of a cmkd run")
    content: Mapping[str, Any] = config
    return content
