"""Scores of searching a gallery by embedding, in memory that does not grow with the queries."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Scores held at once without a chunk given: 128 MiB in float32.
_SCORES = 2**25
# From so many items on a row is looked at by itself; below, that costs more than it saves.
_LONG = 2**16
# Taking scores out of a row costs about half of sorting it: worth it from this share on.
_FEW_LEFT = 0.75


@dataclass(frozen=True)
class QueryRanks:
    """How each query fared, in the order of the queries.

    Attributes:
        first: (Q,) float64, rank of the best placed relevant item, from 1; the worst rank of the
            gallery where no item is relevant.
        average_precision: (Q,) float64 in [0, 1], over all relevant items of the gallery; 0 where
            no item is relevant.
        relevant: (Q,) int64, number of relevant items in the gallery.
    """

    first: Tensor
    average_precision: Tensor
    relevant: Tensor


def retrieval_metrics(
    query: Tensor,
    query_label: Tensor,
    gallery: Tensor,
    gallery_label: Tensor,
    exclude_self: bool = False,
    ks: Sequence[int] = (1, 5, 10, 20),
    chunk: int | None = None,
) -> dict[str, Tensor]:
    """Score a search: which gallery items of its label does each query find, and how early.

    ``recall_at_<k>`` is the share of queries that have an item of their label among their first
    k (the retrieval protocol of CCL: Chen et al., "Distilling Audio-Visual Knowledge by
    Compositional Contrastive Learning", CVPR 2021). ``median_rank`` is the median over queries of
    the rank of the first such item, from 1. ``mean_average_precision`` has *all* items of the
    label in its denominator, found or not. A query without an item of its label in the gallery
    counts with recall 0, average precision 0 and the worst rank, and
    ``queries_without_match`` says how many there are.

    Args:
        query: (Q, D); items are ranked by inner product, so pass L2-normalised rows for cosine.
        query_label: (Q,) int64.
        gallery: (G, D).
        gallery_label: (G,) int64.
        exclude_self: query i is gallery item i and does not find itself.
        ks: numbers of items looked at.
        chunk: queries scored at once; None: as many as 128 MiB of scores hold.

    Returns:
        Scalars by name, on the device of ``query``; all but ``queries_without_match`` are NaN
        where an embedding is not finite.

    Raises:
        ValueError: for sizes that do not fit, no query or no gallery, or a k below 1.
    """
    if any(k < 1 for k in ks):
        raise ValueError(f"retrieval at k needs k of at least 1, got {list(ks)}")
    ranks = rank_queries(query, query_label, gallery, gallery_label, exclude_self, chunk)
    matched = ranks.relevant > 0
    values = {f"recall_at_{k}": ((ranks.first <= k) & matched).double().mean() for k in ks}
    # Not torch.median, which takes the lower of the two middle ones.
    ordered = ranks.first.sort().values
    values["median_rank"] = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    values["mean_average_precision"] = ranks.average_precision.mean()
    if not (_all_finite(query) and _all_finite(gallery)):
        values = {name: value * float("nan") for name, value in values.items()}
    values["queries_without_match"] = (~matched).sum()
    return {name: value.float().to(query.device) for name, value in values.items()}


@torch.no_grad()
def rank_queries(
    query: Tensor,
    query_label: Tensor,
    gallery: Tensor,
    gallery_label: Tensor,
    exclude_self: bool = False,
    chunk: int | None = None,
) -> QueryRanks:
    """Rank a gallery for each query by inner product, without holding queries x gallery scores.

    Of equal scores the items of another label come first. So the result does not depend on the
    gallery's order, and a network that gives everything one embedding finds nothing.

    Beside the arguments it holds one copy of the gallery and a chunk of scores. On a CPU the
    time is that of the scores' matrix product plus sorting, in each row, the scores that are no
    lower than the query's last relevant one.

    Args:
        query: (Q, D).
        query_label: (Q,) int64.
        gallery: (G, D).
        gallery_label: (G,) int64.
        exclude_self: query i is gallery item i and does not find itself.
        chunk: queries scored at once; None: as many as 128 MiB of scores hold.

    Returns:
        The ranks, on the CPU.

    Raises:
        ValueError: for sizes that do not fit, or no query or gallery item.
    """
    _check(query, query_label, gallery, gallery_label, exclude_self, chunk)
    # With both sides grouped by label, what is relevant to a run of queries is a slice.
    by_label = gallery_label.argsort(stable=True)
    gallery_label = gallery_label[by_label]
    gallery = gallery[by_label].T
    order = query_label.argsort(stable=True)
    wanted = query_label[order].contiguous()
    begin = torch.searchsorted(gallery_label, wanted)
    end = torch.searchsorted(gallery_label, wanted, right=True)
    place = torch.empty_like(by_label)
    place[by_label] = torch.arange(len(by_label), device=by_label.device)

    own = int(exclude_self)
    items = gallery.shape[1]
    first = torch.full((len(query),), float(max(items - own, 1)), dtype=torch.float64)
    precision = torch.zeros(len(query), dtype=torch.float64)
    slices = torch.stack([begin, end]).cpu()
    order_cpu = order.cpu()
    chunk = min(chunk or max(_SCORES // items, 1), len(query))
    # One for all chunks: fresh memory of this size costs as much as the product on a CPU.
    buffer = query.new_empty(chunk, items)
    for start in range(0, len(query), chunk):
        rows = slice(start, start + chunk)
        number, numbers = order[rows], order_cpu[rows]
        scores = torch.mm(query[number], gallery, out=buffer[: len(number)])
        if exclude_self:
            scores.scatter_(1, place[number][:, None], -torch.inf)
        runs = _runs(slices[:, rows])
        found = []
        for top, bottom, left, right in runs:
            relevant = scores[top:bottom, left:right]
            found.append(relevant.clone())
            # Out of the way: what is left above a score is of another label.
            relevant.fill_(-torch.inf)
        # Ascending, so the last is the best placed.
        found = [_sort_rows(relevant)[:, own:].contiguous() for relevant in found]
        for (top, bottom, *_), relevant, ahead in zip(
            runs, found, _ahead(scores, runs, found), strict=True
        ):
            if relevant.shape[1] == 0:
                continue
            place_among = torch.arange(relevant.shape[1], 0, -1, dtype=torch.float64)
            rank = ahead.cpu().double() + place_among
            first[numbers[top:bottom]] = rank[:, -1]
            precision[numbers[top:bottom]] = (place_among / rank).mean(1)
    count = torch.empty(len(query), dtype=torch.int64)
    count[order_cpu] = slices[1] - slices[0] - own
    return QueryRanks(first, precision, count)


def _check(
    query: Tensor,
    query_label: Tensor,
    gallery: Tensor,
    gallery_label: Tensor,
    exclude_self: bool,
    chunk: int | None,
) -> None:
    for name, x, label in (("query", query, query_label), ("gallery", gallery, gallery_label)):
        if x.dim() != 2 or len(x) == 0 or label.shape != (len(x),):
            raise ValueError(
                f"retrieval needs {name} embeddings (N, D) with labels (N,) and N of at least 1, "
                f"got {tuple(x.shape)} and {tuple(label.shape)}"
            )
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"retrieval compares embeddings of one width, got queries of {query.shape[1]} and a "
            f"gallery of {gallery.shape[1]}"
        )
    if exclude_self and not torch.equal(query_label, gallery_label):
        raise ValueError("exclude_self needs queries that are the gallery, but their labels differ")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")


def _all_finite(x: Tensor) -> bool:
    # Not isfinite, which holds a copy of x; NaN is both the least and the greatest.
    return bool(torch.stack(torch.aminmax(x)).isfinite().all())


def _runs(slices: Tensor) -> list[tuple[int, int, int, int]]:
    """Return (first row, end row, first column, end column) of rows with the same slice.

    Args:
        slices: (2, rows) first and end column of each row.
    """
    changes = (slices[:, 1:] != slices[:, :-1]).any(0).nonzero().squeeze(1) + 1
    edges = [0, *changes.tolist(), slices.shape[1]]
    return [
        (top, bottom, int(slices[0, top]), int(slices[1, top])) for top, bottom in pairwise(edges)
    ]


def _ahead(
    scores: Tensor, runs: Sequence[tuple[int, int, int, int]], found: Sequence[Tensor]
) -> list[Tensor]:
    """Return, by run, (rows, R) how many scores are no lower than each relevant one.

    Args:
        scores: (rows, items); they are used up.
        runs: see ``_runs``.
        found: by run, (rows, R) in ascending order.
    """
    rows, items = scores.shape
    if scores.device.type != "cpu" or items < _LONG:
        ordered = _sort_rows(scores)
        return [
            items - torch.searchsorted(ordered[top:bottom], relevant)
            for (top, bottom, *_), relevant in zip(runs, found, strict=True)
        ]
    pairs = [
        (scores[row].numpy(), relevant[row - top].numpy())
        for (top, bottom, *_), relevant in zip(runs, found, strict=True)
        for row in range(top, bottom)
    ]
    with ThreadPoolExecutor(min(torch.get_num_threads(), rows)) as pool:
        counts = list(pool.map(_ahead_in_row, *zip(*pairs, strict=True)))
    return [torch.from_numpy(np.stack(counts[top:bottom])) for top, bottom, *_ in runs]


def _ahead_in_row(scores: NDArray[Any], relevant: NDArray[Any]) -> NDArray[np.int64]:
    """Return (R,) how many scores (items,) are no lower than each of relevant (R,), ascending."""
    if len(relevant) == 0:
        return np.zeros(0, dtype=np.int64)
    # Where the embeddings are good few scores are as high as even the last relevant one, and only
    # those need sorting. NaN stays, wherever it stands.
    low = scores < relevant[0]
    if np.count_nonzero(low) > _FEW_LEFT * len(scores):
        scores = scores[~low]
    scores.sort()
    ahead: NDArray[np.int64] = len(scores) - np.searchsorted(scores, relevant)
    return ahead


def _sort_rows(scores: Tensor) -> Tensor:
    """Return the rows in ascending order; on a CPU in place."""
    if scores.device.type != "cpu":
        return scores.sort(dim=1).values
    # torch.sort carries the indices along, which costs twenty times NumPy's vectorised sort.
    parts = scores.tensor_split(min(torch.get_num_threads(), len(scores)))
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.numpy().sort(axis=1), parts))
    return scores
