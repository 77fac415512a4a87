"""What the figures of an epoch show, collected while the run validates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from cmkd.batch import Batch, batch_modalities, batch_window
from cmkd.callbacks.row_sample import RowSample, first_rows, sample_means
from cmkd.figures import GalleryRow, Thumbnail, count_confusions, picture
from cmkd.metrics.sample_means import SampleMeans
from cmkd.representation import Representation

_SIDE = 64
_HITS = 5


def _none() -> Tensor:
    return torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class FigureData:
    """What was collected of one network.

    Attributes:
        role: the network that the stage trains first.
        counts: (C, C) validation samples by true and predicted class.
        embeddings: (N, D) by network, of some of the samples; empty where they were not kept.
        index: (N,) the numbers of these samples.
        label: (N,) their classes.
        thumbnails: (N, 3, H, W) uint8 pictures of them; None where no modality is a picture.
    """

    role: str
    counts: Tensor
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    index: Tensor = field(default_factory=_none)
    label: Tensor = field(default_factory=_none)
    thumbnails: Tensor | None = None


class FigureCollector:
    """Collects validation batches, without running a network.

    Args:
        limit: most rows whose embeddings are kept.
    """

    def __init__(self, limit: int) -> None:
        self._rows = RowSample(limit)
        self._predicted = SampleMeans()
        self._role = ""

    def add(
        self,
        role: str,
        predictions: Tensor,
        outputs: Mapping[str, Representation],
        batch: Batch,
        modalities: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            role: the network whose predictions are counted.
            predictions: (B, C) its class probabilities.
            outputs: representations of the networks whose embeddings are drawn, by role; of all
                rows of the batch.
            batch: the batch.
            modalities: those whose pictures are preferred, the student's.
        """
        self._role = role
        index, window, label = batch["index"], batch_window(batch), batch["label"]
        self._predicted.update(predictions, label, index, window, outputs[role].valid)
        kept = self._rows.wanted(index)
        for output in outputs.values():
            kept = kept & output.valid
        rows = {"index": index, "window": window, "label": label}
        rows |= {f"of {name}": output.embedding.float() for name, output in outputs.items()}
        chosen = {name: row[kept] for name, row in rows.items()}
        name = _pictured(batch, modalities)
        if name is not None:
            chosen["thumbnail"] = thumbnails(batch[name][kept])
        self._rows.add(chosen)

    def pop(self) -> FigureData | None:
        """Return what was collected on all ranks, on the CPU; None where nothing was valid."""
        rows, samples = self._rows.pop(), self._predicted.compute()
        if len(samples.target) == 0:
            return None
        counts = count_confusions(
            samples.target, samples.value.argmax(1), classes=samples.value.shape[1]
        )
        if len(rows.get("index", ())) == 0:
            return FigureData(self._role, counts.cpu())
        rows = {name: row.cpu() for name, row in rows.items()}
        index = rows["index"]
        first = first_rows(index)
        means = {
            name.removeprefix("of "): sample_means(row, index)
            for name, row in rows.items()
            if name.startswith("of ")
        }
        pictures = rows["thumbnail"][first] if "thumbnail" in rows else None
        return FigureData(
            self._role, counts.cpu(), means, index[first], rows["label"][first], pictures
        )


def gallery(data: FigureData, class_names: Sequence[str], queries: int) -> list[GalleryRow]:
    """Return the first samples and what is nearest to each by the cosine of its embeddings.

    They are the same samples in every epoch.

    Args:
        data: with embeddings of ``data.role``.
        class_names: by class.
        queries: how many.
    """
    embedding = F.normalize(data.embeddings[data.role], dim=1)
    scores = embedding[:queries] @ embedding.T
    scores.fill_diagonal_(-torch.inf)
    best = scores.topk(min(_HITS, len(embedding) - 1)).indices

    def thumbnail(number: int, query: int | None) -> Thumbnail:
        image = None if data.thumbnails is None else data.thumbnails[number]
        label = int(data.label[number])
        relevant = None if query is None else label == int(data.label[query])
        return Thumbnail(image, class_names[label], relevant)

    return [
        GalleryRow(thumbnail(query, None), [thumbnail(hit, query) for hit in hits])
        for query, hits in enumerate(best.tolist())
    ]


def thumbnails(values: Tensor) -> Tensor:
    """Return (B, 3, h, w) uint8 of images (B, C, H, W) or the middle frames of (B, C, T, H, W)."""
    images = values[:, :, values.shape[2] // 2] if values.dim() == 5 else values
    side = min(_SIDE, *images.shape[-2:])
    small = F.adaptive_avg_pool2d(images.float(), side).cpu()
    pictures = [picture(image) for image in small]
    stacked = torch.stack(pictures) if pictures else torch.empty(0, 3, side, side).byte()
    return stacked.to(values.device)


def _pictured(batch: Batch, preferred: Sequence[str]) -> str | None:
    """Return the modality that can be looked at, one of the preferred ones if possible."""
    names = batch_modalities(batch)
    names.sort(key=lambda name: name not in preferred)
    return next((name for name in names if batch[name].dim() in (4, 5)), None)
