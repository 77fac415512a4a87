"""Retrieval as an evaluation: samples searched by their embeddings."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import normalize

from cmkd.metrics.evaluation import Evaluation, Rows
from cmkd.metrics.retrieval import retrieval_metrics
from cmkd.metrics.sample_means import SampleMeans


class EmbeddingSearch(Evaluation):
    """Searches for each sample by the cosine of embeddings averaged over its windows.

    What is searched is the gallery where one is given, with sample numbers of its own; otherwise
    the evaluated samples themselves, each without itself.

    Args:
        ks: numbers of items looked at.
        beside: a further evaluation of the same samples, whose values are added.
    """

    def __init__(self, ks: Sequence[int], beside: Evaluation) -> None:
        self._ks = list(ks)
        self._beside = beside
        self._queries = SampleMeans()
        self._gallery = SampleMeans()
        self._gallery_given = False

    def update(self, rows: Rows) -> None:
        """Add a batch of queries."""
        self._queries.update(rows.embedding, rows.target, rows.index, rows.window, rows.valid)
        self._beside.update(rows)

    def update_gallery(self, rows: Rows) -> None:
        """Add a batch of what the queries are searched in."""
        self._gallery_given = True
        self._gallery.update(rows.embedding, rows.target, rows.index, rows.window, rows.valid)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores over all ranks; an empty dict where nothing can be searched."""
        queries, gallery = self._queries.compute(), self._gallery.compute()
        values = self._beside.compute()
        self.left_out = queries.left_out + gallery.left_out
        searched = gallery if self._gallery_given else queries
        if len(queries.target) == 0 or len(searched.target) == 0:
            return values
        found = normalize(searched.value, dim=1)
        asked = normalize(queries.value, dim=1) if self._gallery_given else found
        return values | retrieval_metrics(
            asked,
            queries.target,
            found,
            searched.target,
            exclude_self=not self._gallery_given,
            ks=self._ks,
        )
