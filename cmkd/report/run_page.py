"""The page of a run."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from cmkd.checkpoints import read_checkpoint
from cmkd.compare.parser import build, parse
from cmkd.compare.worker import cause_of
from cmkd.figures.embedding import Projection
from cmkd.report.canvas import Canvas
from cmkd.report.evaluation import Split, evaluate
from cmkd.report.evaluation_sections import (
    Looked,
    classes,
    embeddings,
    gallery,
    inputs,
    results,
)
from cmkd.report.folders import RunFolder
from cmkd.report.page import Page, Section, Text
from cmkd.report.training_sections import training, what_was_run
from cmkd.tasks import Classification, Retrieval


@dataclass(frozen=True)
class RunOptions:
    """What the user asks for.

    Attributes:
        split: whose samples the best networks are run on.
        embedding: how embeddings are put on a plane.
        overrides: arguments of ``cmkd fit`` that win over the config, for data that has moved.
    """

    split: Split = "val"
    embedding: Projection = "pca"
    overrides: Sequence[str] = field(default_factory=list)


def run_page(run: RunFolder, canvas: Canvas, options: RunOptions) -> tuple[Page, str | None]:
    """Return the page, and why it has no evaluation, if so.

    Args:
        run: what the run left.
        canvas: where figures go.
        options: what the user asks for.
    """
    reason: str | None = None
    found: list[Section] = []
    facts: list[tuple[str, str]] = []
    if not run.checkpoint.is_file():
        reason = (
            f"there is no {run.checkpoint.name} in {run.checkpoint.parent.name}: the run ended "
            "before a student was validated, or its checkpoints are elsewhere (--ckpt)"
        )
    else:
        try:
            checkpoint = read_checkpoint(str(run.checkpoint))
            facts = _facts(checkpoint)
            looked = _look(run, checkpoint, options)
            found = _sections(looked, canvas, options)
        except Exception as error:
            # Whatever is wrong with data, model or checkpoint, the rest is worth showing.
            reason = cause_of(error)
    if reason is not None:
        text = (
            "Metrics with intervals, confusion matrix, embeddings, gallery and inputs are left "
            f"out: they need one pass of the best checkpoint over the data, and {reason}"
        )
        found = [Section("Results", [Text(text)])]
    first = found[:1]
    sections = [what_was_run(run, facts), *first, *training(run, canvas), *found[1:]]
    path = run.path.resolve()
    written = datetime.fromtimestamp((path / "metrics.csv").stat().st_mtime)
    lead = f"A run of cmkd fit, last written {written:%Y-%m-%d %H:%M}."
    return Page("/".join(path.parts[-2:]).lstrip("/"), lead, sections), reason


def _sections(looked: Looked, canvas: Canvas, options: RunOptions) -> list[Section]:
    found: list[Section | None] = [results(looked)]
    if looked.class_names:
        found.append(classes(looked, canvas))
        found.append(embeddings(looked, canvas, options.embedding))
        if len(looked.student.target) > 1:
            found.append(gallery(looked, canvas))
    found.append(inputs(looked, canvas))
    return [section for section in found if section is not None]


def _look(run: RunFolder, checkpoint: dict[str, Any], options: RunOptions) -> Looked:
    """Build what the config describes, with the checkpoint's weights, and run it once."""
    # The rest of the config says what the training writes where.
    wanted = ("seed_everything", "model", "data")
    content = {key: run.config[key] for key in wanted if key in run.config}
    precision = (run.config.get("trainer") or {}).get("precision")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(content, file)
        file.flush()
        parsed = parse([f"--config={file.name}", *options.overrides])
    made = build(parsed)
    # As Lightning loads it: the buffers that depend on the data are made first.
    made.model.on_load_checkpoint(checkpoint)
    made.model.load_state_dict(checkpoint["state_dict"])
    evaluated = evaluate(made.model, made.data, options.split, precision)
    if "student" not in evaluated.queries.networks:
        raise ValueError(f"no sample of the {options.split} data has a modality of the student")
    names: list[str] = []
    if isinstance(made.model.task, Classification | Retrieval):
        count = made.model.network("student").num_outputs
        names = [str(name) for name in getattr(made.data, "class_names", range(count))]
    return Looked(made.model.task, names, options.split, evaluated)


def _facts(checkpoint: dict[str, Any]) -> list[tuple[str, str]]:
    scores = checkpoint["cmkd"]["progress"]["scores"]
    chosen = [f"{role} {score:.4f}" for role, score in scores.items()]
    return [
        ("best checkpoint", f"epoch {checkpoint['epoch']}; validation: {', '.join(chosen)}"),
        ("lightning", str(checkpoint.get("pytorch-lightning_version", ""))),
    ]
