"""Retrieval by embedding of a network that learns to classify."""

from collections.abc import Sequence

from torch import Tensor

from cmkd.batch import Batch
from cmkd.metrics.embedding_search import EmbeddingSearch
from cmkd.metrics.evaluation import Evaluation
from cmkd.representation import Representation
from cmkd.tasks.base import Task
from cmkd.tasks.classification import Classification


class Retrieval(Task):
    """Classification in training; in evaluation each sample searches for others of its class.

    The queries are searched in the datamodule's gallery (its argument ``gallery``), or else among
    themselves, each without itself; validation always does the latter. Samples are compared by
    the cosine of their embeddings, averaged over each sample's windows.

    Metrics: ``recall_at_<k>`` (any of the first k has the query's class), ``median_rank``,
    ``mean_average_precision``, ``queries_without_match``
    (:func:`cmkd.metrics.retrieval.retrieval_metrics`), and those of ``Classification``. Some
    published scripts leave out queries without a hit and divide the average precision by the hits
    found; here both count in full.

    Args:
        num_classes: number of classes C, at least 2.
        label_smoothing: share of the target spread over all classes.
        ks: the k of ``recall_at_<k>``; the first one is monitored.

    Raises:
        ValueError: for fewer than two classes, a smoothing outside [0, 1), or no or wrong ks.
    """

    searches = True

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        ks: Sequence[int] = (1, 5, 10, 20),
    ) -> None:
        super().__init__()
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            raise ValueError(f"Retrieval.ks must be different numbers of at least 1, got {ks}")
        self.classification = Classification(num_classes, label_smoothing)
        self.ks = list(ks)
        self.monitor = f"recall_at_{self.ks[0]}"

    def check(self, batch: Batch) -> None:
        """Raise a ValueError that names the sample when a label is outside [0, C)."""
        self.classification.check(batch)

    def loss(self, representation: Representation, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over the valid rows, in nats."""
        return self.classification.loss(representation, batch)

    def step_metrics(self, representation: Representation, batch: Batch) -> dict[str, Tensor]:
        """Return the top-1 accuracy of the batch's valid rows."""
        return self.classification.step_metrics(representation, batch)

    def predictions(self, representation: Representation) -> Tensor:
        """Return the (B, C) class probabilities."""
        return self.classification.predictions(representation)

    def metrics(self) -> Evaluation:
        """Return fresh metrics over samples."""
        return EmbeddingSearch(self.ks, beside=self.classification.metrics())
