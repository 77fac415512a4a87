"""One run from its config to its record, in this process."""

import time
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer

from cmkd import __version__
from cmkd.compare.best_student import BestStudent
from cmkd.compare.parser import Built, build, parse_run
from cmkd.compare.plan import Run
from cmkd.compare.shared_data import SharedData
from cmkd.compare.store import Record, Store, locked, replacing
from cmkd.compare.teacher import SharedTeacher, shared_teacher

#: What a comparison does without: files and figures of every run, which `cmkd fit` writes.
_BARE: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


@dataclass(frozen=True)
class Trained:
    """A run after its training.

    Attributes:
        built: what it is made of; the model is the best one.
        trainer: its trainer.
        best: the best student.
        teacher: the teacher stage that was replaced by a checkpoint, None where none was.
        seconds: wall time of the training, without that stage.
    """

    built: Built
    trainer: Trainer
    best: BestStudent
    teacher: SharedTeacher | None
    seconds: float


def execute(
    run: Run, store: Store, share_teacher: bool = True, shared: SharedData | None = None
) -> Record:
    """Train, and test the best student unless the run is a trial; keep the record.

    The outcome is that of ``cmkd fit`` and ``cmkd test`` with the run's arguments.

    Args:
        run: what to do.
        store: where the record and the teachers are kept.
        share_teacher: replace a teacher stage that an equal run has finished by its checkpoint.
        shared: holds the data of the run before; None: the run reads its own.

    Raises:
        ValueError: for a config that does not fit, or a run that gives no student.
    """
    trained = train(run, store, share_teacher, shared)
    begun = time.perf_counter()
    scores = _test(trained) if run.tested else {}
    kept = trained.best.snapshot
    record = Record(
        key=run.key,
        val=float(kept.score or 0),
        mode=trained.best.mode,
        epoch=int(kept.epoch or 0),
        test=scores,
        seconds=round(trained.seconds + time.perf_counter() - begun, 3),
        teacher=None if trained.teacher is None else trained.teacher.key,
        command=run.command(),
        versions={"cmkd": __version__, **{n: version(n) for n in ("torch", "lightning")}},
    )
    store.save(record)
    return record


def train(
    run: Run, store: Store, share_teacher: bool = True, shared: SharedData | None = None
) -> Trained:
    """Train and put the best student back; arguments and errors as of ``execute``."""
    parsed, shared = parse_run(run), shared or SharedData()
    built = _with_data(build(parsed), shared)
    teacher = shared_teacher(built) if share_teacher else None
    if teacher is not None:
        checkpoint = _trained(teacher, parsed, store, shared)
        built = _with_data(build(parsed, model__teacher_checkpoint=str(checkpoint)), shared)
    begun = time.perf_counter()
    best = BestStudent(built.checkpoint.get("monitor"), built.checkpoint.get("mode"))
    trainer = _trainer(built, store.folder, best)
    trainer.fit(built.model, datamodule=built.data)
    best.restore(built.model)
    return Trained(built, trainer, best, teacher, time.perf_counter() - begun)


def _with_data(built: Built, shared: SharedData) -> Built:
    return replace(built, data=shared.of(built))


def _trained(teacher: SharedTeacher, parsed: Namespace, store: Store, shared: SharedData) -> Path:
    """Return the checkpoint of a teacher stage; train it, unless another run has or does."""
    path = store.teacher(teacher.key)
    with locked(path):
        if not path.is_file():
            built = _with_data(build(parsed, trainer__max_epochs=teacher.epochs), shared)
            trainer = _trainer(built, store.folder)
            with warnings.catch_warnings():
                # It is meant to.
                warnings.filterwarnings("ignore", message=".*ends the run before the student stage")
                trainer.fit(built.model, datamodule=built.data)
            with replacing(path) as new:
                trainer.save_checkpoint(new, weights_only=True)
    return path


def _trainer(built: Built, folder: Path, *callbacks: Any) -> Trainer:
    given = built.trainer | _BARE
    given["callbacks"] = [*(built.trainer.get("callbacks") or []), *callbacks]
    given["default_root_dir"] = str(folder)
    if given.get("devices") == "auto":
        # Each process has a device of its own.
        given["devices"] = 1
    trainer = Trainer(**given)
    if trainer.world_size > 1:
        raise ValueError(
            f"trainer.devices: a run of a comparison has one device, not {trainer.world_size}; set "
            "trainer.devices to 1 and run several at once with --jobs"
        )
    return trainer


def _test(trained: Trained) -> dict[str, float]:
    """Return the test metrics by ``<network>_<metric>``."""
    trainer = trained.trainer
    trainer.test(trained.built.model, datamodule=trained.built.data, verbose=False)
    return {
        name.removeprefix("test/"): float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("test/")
    }
