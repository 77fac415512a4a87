"""What the best networks do with the samples of a split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cmkd.batch import Batch, batch_modalities
from cmkd.figures import (
    GalleryRow,
    Thumbnail,
    confusion_matrix,
    count_confusions,
    embedding_map,
    per_class_accuracy,
    retrieval_gallery,
    samples,
)
from cmkd.figures.embedding import Projection
from cmkd.report.canvas import Canvas
from cmkd.report.evaluation import Evaluated, Outputs, Split
from cmkd.report.page import Block, Card, Drawings, Gallery, Section, Table, Text
from cmkd.report.scores import Score, scores, wilson
from cmkd.report.thumbnails import Picture, moving_url, picture_of, still_url
from cmkd.tasks.base import Task

_QUERIES, _HITS, _INPUTS = 6, 5, 3
# More points than that are one blot, and t-SNE takes minutes.
_POINTS = 2000


@dataclass(frozen=True)
class Looked:
    """What there is to show of a split.

    Attributes:
        task: of the run.
        class_names: by class; empty where the labels are no classes.
        split: which samples.
        evaluated: what the networks say of them.
    """

    task: Task
    class_names: Sequence[str]
    split: Split
    evaluated: Evaluated

    @property
    def name(self) -> str:
        """The split's name for people."""
        return {"val": "validation", "test": "test"}[self.split]

    @property
    def student(self) -> Outputs:
        """What the student says."""
        return self.evaluated.queries.networks["student"]


def results(looked: Looked) -> Section:
    """Return the table of metrics with their intervals."""
    tables = []
    gallery = looked.evaluated.gallery
    for role, outputs in looked.evaluated.queries.networks.items():
        searched = None if gallery is None else gallery.networks.get(role)
        found = scores(looked.task, outputs, searched)
        rows = [[name, f"{score.value:.3f}", _interval(score)] for name, score in found.items()]
        tables.append(Table(["metric", "value", "95 % interval"], rows, role))
    count = len(looked.student.target)
    note = (
        f"The best checkpoint on the {count} {looked.name} samples. Intervals are bootstrapped "
        "over samples as if they were independent; they say nothing about other seeds, and there "
        "is none where the samples do not differ."
    )
    if looked.split == "val":
        note += " The checkpoint was chosen on these samples, which flatters it."
    blocks: list[Block] = [Text(note)]
    if "teacher" not in looked.evaluated.queries.networks:
        blocks.append(Text("The teacher is not scored: there is none, or the data do not hold all "
                           "it sees (data.init_args.auxiliary_at_test)."))  # fmt: skip
    return Section("Results", [*blocks, *tables])


def classes(looked: Looked, canvas: Canvas) -> Section:
    """Return the section on which class is taken for which."""
    names, student = looked.class_names, looked.student
    counts = count_confusions(student.target, student.prediction.argmax(1), len(names))
    drawings = [
        canvas.draw(
            "confusion_matrix",
            confusion_matrix(counts, names),
            f"Student, {looked.name} samples: shade is the share of the true class"
            + (", numbers are samples." if len(names) <= 16 else "."),
        ),
        canvas.draw(
            "per_class_accuracy",
            per_class_accuracy(counts, names),
            "Student: share of each class that is recognised, with its number of samples.",
        ),
    ]
    columns = ["class", "samples", "recognised", "95 % interval", "mostly taken for"]
    table = Table(columns, _class_rows(counts, names), "Student by class; intervals after Wilson")
    return Section("Classes", [Drawings(drawings), table])


def embeddings(looked: Looked, canvas: Canvas, method: Projection) -> Section:
    """Return the maps of the networks' embeddings."""
    drawings = []
    for role, outputs in looked.evaluated.queries.networks.items():
        count = len(outputs.target)
        rows = torch.linspace(0, count - 1, min(count, _POINTS)).round().long()
        points = {role: outputs.embedding[rows]}
        figure = embedding_map(points, outputs.target[rows], looked.class_names, method)
        how = {
            "pca": "on its two directions of most variance",
            "tsne": "by t-SNE, in which only neighbourhoods mean something",
        }[method]
        what = f"{len(rows)} of {count}" if count > _POINTS else f"{count}"
        caption = f"Embedding of the {role}, {what} {looked.name} samples, {how}."
        drawings.append(canvas.draw(f"embedding_{role}", figure, caption))
    return Section("Embeddings", [Drawings(drawings)])


def gallery(looked: Looked, canvas: Canvas) -> Section:
    """Return queries with what the student finds for them."""
    queries, student = looked.evaluated.queries, looked.student
    place = looked.evaluated.gallery or queries
    searched = place.networks["student"]
    rows = torch.linspace(0, len(student.target) - 1, min(len(student.target), _QUERIES))
    rows = rows.round().long().unique()  # type: ignore[no-untyped-call]
    found = nearest(student, None if place is queries else searched, rows, _HITS)
    shown = _pictures(queries.samples, student.index[rows])
    hits = _pictures(place.samples, searched.index[found.unique()])  # type: ignore[no-untyped-call]
    cards, thumbnails = [], []
    for query, items in zip(rows.tolist(), found.tolist(), strict=True):
        label = student.target[query]
        entries = [_entry(looked, shown, student, query, None)]
        entries += [
            _entry(looked, hits, searched, i, bool(searched.target[i] == label)) for i in items
        ]
        cards.append([card for card, _ in entries])
        first, *rest = [thumbnail for _, thumbnail in entries]
        thumbnails.append(GalleryRow(first, rest))
    canvas.draw("retrieval_gallery", retrieval_gallery(thumbnails), "Retrieval gallery")
    where = "the gallery" if place is not queries else f"the other {looked.name} samples"
    text = (
        f"What the student's embedding finds nearest in {where}, by cosine. The queries stand at "
        "even distances in the split, they are not picked."
    )
    if any(card.moving for line in cards for card in line):
        text += " Click or tap a clip to play it as the networks see it, again to stop it."
    return Section("Retrieval gallery", [Text(text), Gallery(cards)])


def inputs(looked: Looked, canvas: Canvas) -> Section | None:
    """Return a few samples as the networks see them; None where they cannot be read again."""
    numbers = looked.student.index[:: max(1, len(looked.student.index) // _INPUTS)][:_INPUTS]
    batch = looked.evaluated.queries.samples(numbers.tolist())
    if batch is None:
        return None
    tensors = {name: batch[name] for name in batch_modalities(batch)}
    labels = batch["label"].tolist()
    captions = [
        f"sample {number}" + (f": {looked.class_names[label]}" if looked.class_names else "")
        for number, label in zip(numbers.tolist(), labels, strict=True)
    ]
    text = (
        "Samples as the networks see them, normalised: a video as frames, a sound as a "
        "spectrogram, vectors as their values, a modality that is absent as zeros."
    )
    return Section("Inputs", [Drawings([canvas.draw("samples", samples(tensors, captions), text)])])


def nearest(queries: Outputs, searched: Outputs | None, rows: Tensor, most: int) -> Tensor:
    """Return (Q, K) the rows of what is nearest by cosine, best first.

    Args:
        queries: what is searched for.
        searched: what it is searched in; None: the queries themselves, each without itself.
        rows: (Q,) of the queries.
        most: K, or as many as there are.
    """
    found = queries if searched is None else searched
    cosine = normalize(queries.embedding[rows], dim=1) @ normalize(found.embedding, dim=1).T
    if searched is None:
        cosine[torch.arange(len(rows)), rows] = -torch.inf
    return cosine.topk(min(most, len(found.target) - (searched is None)), dim=1).indices


def _interval(score: Score) -> str:
    return f"{score.low:.3f} to {score.high:.3f}" if score.low < score.high else ""


def _class_rows(counts: Tensor, names: Sequence[str]) -> list[list[str]]:
    rows = []
    for label, name in enumerate(names):
        support, right = int(counts[label].sum()), int(counts[label, label])
        if not support:
            continue
        wrong = counts[label].clone()
        wrong[label] = 0
        other = f"{names[int(wrong.argmax())]} ({int(wrong.max())})" if wrong.any() else ""
        low, high = wilson(right, support)
        interval = f"{low:.3f} to {high:.3f}"
        rows.append([name, str(support), f"{right / support:.3f}", interval, other])
    return rows


_Read = Callable[[Sequence[int]], Batch | None]


def _pictures(read: _Read, numbers: Tensor) -> dict[int, Picture]:
    """Return the samples that are something to look at, by their numbers."""
    wanted = numbers.tolist()
    batch = read(wanted)
    if batch is None:
        return {}
    shown = {number: picture_of(batch, row) for row, number in enumerate(wanted)}
    return {number: one for number, one in shown.items() if one is not None}


def _entry(
    looked: Looked, shown: Mapping[int, Picture], of: Outputs, row: int, relevant: bool | None
) -> tuple[Card, Thumbnail]:
    number, label = int(of.index[row]), int(of.target[row])
    name, sample = looked.class_names[label], f"sample {number}"
    mark = "query" if relevant is None else "hit" if relevant else "miss"
    one = shown.get(number)
    card = Card(
        still=still_url(one) if one else None,
        moving=moving_url(one) if one else None,
        mark=mark,
        name=name,
        sample=sample,
    )
    return card, Thumbnail(one.still if one else None, f"{name} {sample}", relevant)
