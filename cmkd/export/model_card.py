"""The card that goes with a student: what it is, what it was trained on, how well it does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmkd.export.cost import Cost
from cmkd.export.evaluation import Evaluated
from cmkd.student import Student

FILE_NAME = "MODEL_CARD.md"
#: How a field begins that nobody but the author knows.
FILL_IN = "[fill in: "
_MANY_CLASSES = 60


@dataclass(frozen=True)
class Card:
    """What a card is made of.

    Attributes:
        name: of the student.
        student: the student.
        cost: of its network.
        files: names of the files beside the card.
        hparams: arguments of the model; objectives among them.
        config: the run's config; None where it is not known.
        origin: run, checkpoint, epoch.
        fingerprint: of the exported files.
        evaluated: its metrics; None where they were not measured.
        license: of the weights; None where it is not known.
        data_license: of the data.
    """

    name: str
    student: Student
    cost: Cost
    files: Sequence[str]
    hparams: Mapping[str, Any]
    config: Mapping[str, Any] | None
    origin: Mapping[str, Any]
    fingerprint: str
    evaluated: Evaluated | None
    license: str | None = None
    data_license: str | None = None


def model_card(card: Card) -> str:
    """Return the card in Markdown."""
    parts = [_about(card), _use(card), _data(card), _training(card), _metrics(card), _rest(card)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _about(card: Card) -> Iterator[str]:
    student = card.student
    yield f"# {card.name}"
    yield ""
    yield f"{FILL_IN}what it is for, in a sentence]"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| task | {student.task} |"
    yield f"| sees | {', '.join(student.modalities)} |"
    for name, shape in student.preprocessing.shapes.items():
        sizes = " x ".join("steps" if size is None else str(size) for size in shape)
        yield f"| input {name} | {sizes} |"
    if student.task == "classification":
        yield f"| classes | {student.network.num_outputs} |"
    yield f"| embedding | {student.network.embedding_dim} |"
    yield f"| parameters | {card.cost.parameters:,} ({card.cost.megabytes:.2f} MB) |"
    yield f"| fingerprint | `{card.fingerprint[:16]}` |"
    names = student.class_names
    if names:
        shown = ", ".join(names[:_MANY_CLASSES])
        more = f", and {len(names) - _MANY_CLASSES} more" if len(names) > _MANY_CLASSES else ""
        yield ""
        yield f"Classes: {shown}{more}."


def _use(card: Card) -> Iterator[str]:
    in_file = set(card.student.modalities) <= set(card.student.preprocessing.in_one_file)
    by_modality = ", ".join(f'"{name}": ...' for name in card.student.modalities)
    source = '"clip.mp4"' if in_file else f"{{{by_modality}}}"
    yield "## Use"
    yield ""
    yield "```python"
    yield "import cmkd"
    yield ""
    yield f'student = cmkd.load_student("{card.files[0]}")'
    yield f"prediction = student.predict({source})"
    yield "print(prediction.top(5), prediction.embedding.shape)"
    yield "```"
    yield ""
    yield f"Files: {', '.join(f'`{name}`' for name in card.files)}."
    yield "Graphs (`.pt2`, `.onnx`) take the network's inputs, windows that `student.preprocess`"
    yield "makes; they do not decode files."


def _data(card: Card) -> Iterator[str]:
    yield "## Data"
    yield ""
    data = (card.config or {}).get("data") or {}
    if data:
        yield f"`{data.get('class_path')}`, with"
        yield ""
        for key, value in (data.get("init_args") or {}).items():
            if value is not None:
                yield f"* {key}: {_shown(value)}"
    else:
        yield f"{FILL_IN}what it was trained on]"
    yield ""
    yield f"Whose data it is, how it was collected and with whose consent: {FILL_IN}source]"


def _training(card: Card) -> Iterator[str]:
    hparams, config = card.hparams, card.config or {}
    auxiliary = hparams.get("auxiliary_modalities") or []
    yield "## Training"
    yield ""
    sees = f"{', '.join(card.student.modalities)}"
    if auxiliary and not hparams.get("student_alone"):
        yield f"The student sees {sees}; its teacher also saw {', '.join(auxiliary)}, in training."
    else:
        yield f"The student saw {sees}."
    yield ""
    for stage, terms in _terms(hparams):
        for name, term in terms.items():
            objective = term.get("objective") or {}
            path = objective if isinstance(objective, str) else objective.get("class_path")
            yield f"* {stage} stage, `{name}`: `{path}`, weight {term.get('weight', 1.0):g}"
    if "seed_everything" in config:
        yield f"* seed {config['seed_everything']}"
    if "trainer" in config:
        yield f"* {config['trainer'].get('max_epochs')} epochs"
    for key, value in card.origin.items():
        yield f"* {key}: {value}"
    yield ""
    yield "The objectives' docstrings name their papers."
    if str(card.origin.get("checkpoint", "")).startswith("best"):
        yield "The checkpoint was chosen on validation data."


def _metrics(card: Card) -> Iterator[str]:
    yield "## Metrics"
    yield ""
    if card.evaluated is None:
        yield f"{FILL_IN}test metrics with intervals, and the protocol]"
        return
    yield card.evaluated.protocol
    yield ""
    yield "| metric | value | 95 % interval |"
    yield "|---|---|---|"
    for one in card.evaluated.metrics:
        known = one.low is not None and one.high is not None
        interval = f"{one.low:.4f} to {one.high:.4f}" if known else f"{FILL_IN}interval]"
        yield f"| {one.name} | {one.value:.4f} | {interval} |"


def _rest(card: Card) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield f"{FILL_IN}where it fails, whom it may harm, what it must not be used for]"
    yield ""
    yield "## Licence"
    yield ""
    yield f"* these weights: {card.license or f'{FILL_IN}licence]'}"
    yield f"* the data they were trained on: {card.data_license or f'{FILL_IN}licence]'}"
    if any(_pretrained(spec) for spec in (card.hparams.get("encoders") or {}).values()):
        yield f"* the weights the training started from: {FILL_IN}licence]"
    yield "* cmkd, the library: MIT"
    yield ""
    yield "## How to cite"
    yield ""
    yield "```bibtex"
    yield f"@misc{{{FILL_IN}key],"
    yield f"  title  = {{{card.name}}},"
    yield f"  author = {{{FILL_IN}authors]}},"
    yield f"  year   = {{{FILL_IN}year]}},"
    yield f"  note   = {{A student distilled with cmkd, fingerprint {card.fingerprint[:16]}}}"
    yield "}"
    yield "```"


def _terms(hparams: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Mapping[str, Any]]]]:
    """Yield the objectives of each stage that are switched on."""
    given = {name: hparams.get(f"{name}_terms") for name in ("teacher", "student")}
    for name, stage in (hparams.get("stages") or {}).items():
        given[name] = (stage or {}).get("terms")
    for name, terms in given.items():
        if name == "teacher" and not hparams.get("teacher_epochs"):
            continue
        on = {k: t for k, t in (terms or {}).items() if t and t.get("weight", 1.0)}
        if on and not hparams.get("student_alone"):
            yield name, on


def _pretrained(spec: Any) -> bool:
    return isinstance(spec, Mapping) and bool((spec.get("init_args") or {}).get("weights"))


def _shown(value: Any) -> str:
    """Return an argument of the data; of a path its last part, the rest is nobody's business."""
    if isinstance(value, str) and "/" in value:
        return f".../{Path(value).name}"
    return str(value)
