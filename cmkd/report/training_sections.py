"""What was run, and how its training went."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from cmkd.figures import curves
from cmkd.report.canvas import Canvas
from cmkd.report.folders import RunFolder
from cmkd.report.metrics_log import MetricsLog, Series
from cmkd.report.page import Block, Drawing, Drawings, Facts, Folded, Section, Table, Text

# What the tasks monitor: retrieval logs the accuracy, too.
_MONITORS = ("recall_at_1", "accuracy", "mae")
_STUDENT = "val/student_"


def what_was_run(run: RunFolder, more: Iterable[tuple[str, str]] = ()) -> Section:
    """Return the section on the config.

    Args:
        run: the run.
        more: further facts.
    """
    model, data, trainer = (run.config.get(key) or {} for key in ("model", "data", "trainer"))
    arguments = data.get("init_args") or {}
    task = model.get("task")
    auxiliary = model.get("auxiliary_modalities") or []
    pairs = [
        ("data", _short(data.get("class_path", ""))),
        ("student sees", ", ".join(model.get("student_modalities") or [])),
        ("teacher sees, too", ", ".join(auxiliary) or "nothing more"),
        ("task", _short(task["class_path"] if isinstance(task, Mapping) else task or "")),
        ("epochs", _epochs(model, trainer, run.metrics)),
        ("batch size", str(arguments.get("batch_size", "the default"))),
        ("seed", str(run.config.get("seed_everything", ""))),
        *more,
        ("to repeat it", f"cmkd fit --config {run.config_path.name}, which stands in this folder"),
    ]
    blocks: list[Block] = [Facts([(name, value) for name, value in pairs if value])]
    terms = terms_of(model)
    if terms:
        columns = ["stage", "term", "objective", "pulls", "towards", "weight"]
        blocks.append(Table(columns, terms, "Terms beside the networks' task losses"))
    else:
        blocks.append(Text("No term beside the networks' task losses."))
    text = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True)
    return Section("What was run", [*blocks, Folded(run.config_path.name, text)])


def training(run: RunFolder, canvas: Canvas) -> list[Section]:
    """Return the sections on what was logged while the networks learned."""
    sections = []
    learning, information = _learning(run, canvas), _information(run, canvas)
    epochs = _epoch_table(run.metrics)
    if learning:
        blocks: list[Block] = [Drawings(learning)]
        if epochs is not None:
            blocks.append(Folded("Validation metrics of every epoch", epochs))
        sections.append(Section("Learning curves", blocks))
    if information:
        sections.append(Section("Information", [Drawings(information)]))
    tested = {n: run.metrics.last(n) for n in run.metrics.names if n.startswith("test/")}
    if tested:
        rows = [[n.removeprefix("test/"), f"{v:.4f}"] for n, v in tested.items() if v is not None]
        note = Text("Logged by the run itself, after its training; without intervals.")
        sections.append(Section("Test metrics", [note, Table(["metric", "value"], rows)]))
    return sections


def monitor(run: RunFolder) -> str | None:
    """Return the validation metric that chose the student; None where none was logged."""
    given = (run.config.get("checkpoint") or {}).get("monitor") or ""
    logged = [n.removeprefix(_STUDENT) for n in run.metrics.names if n.startswith(_STUDENT)]
    wanted = [given.removeprefix(_STUDENT), *_MONITORS, *logged]
    return next((name for name in wanted if name in logged), None)


def terms_of(model: Mapping[str, Any]) -> list[list[str]]:
    """Return stage, name, objective, source, target and weight of each term with a weight."""
    stages = {
        "teacher": model.get("teacher_terms") if model.get("teacher_epochs") else None,
        "student": model.get("student_terms"),
    } | {name: stage.get("terms") for name, stage in (model.get("stages") or {}).items()}
    rows = []
    for stage, terms in stages.items():
        for name, term in (terms or {}).items():
            weight = term.get("weight", 1.0) if term else 0
            if not weight or model.get("student_alone"):
                continue
            rows.append([stage, name, *_objective(term["objective"]), f"{weight:g}"])
    return rows


def _objective(given: str | Mapping[str, Any]) -> list[str]:
    """Return an objective's name, source and target; of a wrapped one what it holds."""
    if isinstance(given, str):
        given = {"class_path": given}
    name, arguments = _short(given["class_path"]), given.get("init_args") or {}
    if "objective" in arguments:
        inner, *roles = _objective(arguments["objective"])
        return [f"{name}: {inner}", *roles]
    return [name, str(arguments.get("source", "")), str(arguments.get("target", ""))]


def _learning(run: RunFolder, canvas: Canvas) -> list[Drawing]:
    log, marks = run.metrics, _marks(run)
    metric = monitor(run)
    networks = ["teacher", "auxiliary", "student", *(run.config["model"].get("networks") or {})]
    pattern = rf"val/({'|'.join(map(re.escape, networks))})_{re.escape(metric or '')}"
    validated = _series(log, pattern)
    losses = _series(log, r"train/(\w+?)(?<!_critic)_loss")
    names = {name for _, name, *_ in terms_of(run.config["model"])}
    terms = {name: series for name, series in _series(log, r"train/(\w+)").items() if name in names}
    return [
        canvas.draw(name, curves(series, ylabel, marks=marks), caption)
        for name, series, ylabel, caption in (
            (
                "validation",
                validated,
                metric or "",
                "Validation. The best epoch's networks are kept.",
            ),
            ("task_loss", losses, "loss", "Task loss on training batches."),
            (
                "terms",
                terms,
                "loss",
                "Each term's own loss on training batches, before its weight.",
            ),
        )
        if series
    ]


def _information(run: RunFolder, canvas: Canvas) -> list[Drawing]:
    log, marks = run.metrics, _marks(run)
    drawings = []
    bounds = _series(log, r"train/(\w+)_bound")
    if bounds:
        tops = [max(values) for _, values in _series(log, r"train/(\w+)_ceiling").values()]
        ceilings = {f"log {math.exp(top):.0f}": top for top in tops if math.isfinite(top)}
        caption = (
            "Lower bounds on mutual information, in nats. No bound can pass log N, N the number "
            "of candidates (dashed): near it a bound says 'at least', not 'about'."
        )
        figure = curves(bounds, "nats", ceilings=ceilings, marks=marks)
        drawings.append(canvas.draw("information", figure, caption))
    # Their scales have nothing in common: of embeddings of many dimensions, of the labels.
    for name, series in _series(log, r"train/(\w+)_nats").items():
        caption = f"{name}: upper bound on H(T|S), in nats."
        if name == "entropy":
            caption += " A Gaussian probe, which pulls no network."
        figure = curves({name: series}, "nats", marks=marks)
        drawings.append(canvas.draw(f"conditional_entropy_{name}", figure, caption))
    critics = set(_series(log, r"train/(\w+)_critic_loss"))
    accuracies = {n: s for n, s in _series(log, r"train/(\w+)_accuracy").items() if n in critics}
    if accuracies:
        caption = "Accuracy of the discriminator; at 0.5 it cannot tell real from reconstructed."
        figure = curves(accuracies, "accuracy", marks=marks)
        drawings.append(canvas.draw("discriminator", figure, caption))
    return drawings


def _series(log: MetricsLog, pattern: str) -> dict[str, Series]:
    """Return by the pattern's group the metrics whose names it matches as a whole."""
    found = {}
    for name in log.names:
        match = re.fullmatch(pattern, name)
        if match:
            found[match[1]] = log.series(name)
    return found


def _marks(run: RunFolder) -> dict[str, float]:
    """Return where the student stage begins, unless it is all that was run."""
    model = run.config["model"]
    begins = 0 if model.get("student_alone") else int(model.get("teacher_epochs") or 0)
    return {"student stage": begins} if any(r.time < begins for r in run.metrics.rows) else {}


def _epoch_table(log: MetricsLog) -> Table | None:
    by_epoch = log.by_epoch("val/")
    names = sorted({name for values in by_epoch.values() for name in values})
    rows = [
        [str(epoch), *(f"{values[n]:.4f}" if n in values else "" for n in names)]
        for epoch, values in sorted(by_epoch.items())
    ]
    return Table(["epoch", *names], rows) if rows else None


def _epochs(model: Mapping[str, Any], trainer: Mapping[str, Any], log: MetricsLog) -> str:
    done = [row.epoch for row in log.rows if row.epoch is not None and row.values]
    teacher = 0 if model.get("student_alone") else int(model.get("teacher_epochs") or 0)
    parts = [f"{teacher} of the stages before the student's" if teacher else "no teacher stage"]
    parts.append(f"{trainer.get('max_epochs')} in all" if trainer.get("max_epochs") else "")
    # A test after the training logs the epoch that would have followed.
    trained = [e for e in done if e < (trainer.get("max_epochs") or math.inf)]
    parts.append(f"{max(trained) + 1} reached" if trained else "")
    return ", ".join(filter(None, parts))


def _short(class_path: str) -> str:
    return class_path.rsplit(".", 1)[-1]
