"""Branches of different modalities that learn from each other."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import require_same_classes
from cmkd.objectives.fitnets import hint_loss
from cmkd.objectives.labels import class_labels
from cmkd.objectives.numerics import full_precision, unit_vectors, zero_masked_rows
from cmkd.objectives.rkd import distance_relation_loss
from cmkd.representation import Representation, Sizes


def mutual_relation_loss(first: Tensor, second: Tensor, mask: Tensor | None = None) -> Tensor:
    """RKD's loss of distances both ways, RKD-D(a, sg v) + RKD-D(v, sg a), sg stop-gradient.

    Rows are L2-normalised here. Beyond Unimodal Learning: The Importance of Integrating Multiple
    Modalities for Lifelong Learning, Sarfraz, Zonooz, Arani, CoLLAs 2024, arXiv 2405.02766; form
    of the authors' code. See :func:`cmkd.objectives.distance_relation_loss`.

    Args:
        first: (B, D) the local rows, compared with those of all ranks; all hold the same B.
        second: (B, E).
        mask: (B,) bool, valid rows; None means all.

    Returns:
        (B,) in float32 at least; both inputs get a gradient.

    Raises:
        ValueError: when the inputs are not matrices of as many rows.
    """
    if mask is not None:
        first, second = (zero_masked_rows(x, mask) for x in (first, second))
    a, v = (unit_vectors(full_precision(x)) for x in (first, second))
    return distance_relation_loss(a, v.detach(), mask) + distance_relation_loss(v, a.detach(), mask)


def best_branch(logits: Tensor, label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Choose for each sample the branch that is surest of the true class.

    Args:
        logits: (M, B, C) of M branches.
        label: (B,) int64, the true classes.
        valid: (M, B) bool, which branches have the sample.

    Returns:
        The chosen branches' logits (B, C), and which they are, (B,) int64; the first of equals,
        and the first where no branch has the sample.
    """
    sure = log_softmax(full_precision(logits), dim=2)
    sure = sure.gather(2, label.expand(len(logits), -1)[..., None]).squeeze(2)
    best = sure.masked_fill(~valid, -torch.inf).argmax(dim=0)
    return logits[best, torch.arange(len(label), device=label.device)], best


class MutualRelation(Objective):
    """Mutual relational loss between the predictions of two networks; pulls both.

    See :func:`mutual_relation_loss`; as in the authors' code, relations are those of the logits.
    Where one of the networks is frozen, it is the other that learns.

    Args:
        sizes: the networks' widths by role.
        source: one of the roles.
        target: the other.
    """

    minimum_rows = 2

    def __init__(
        self, sizes: Mapping[str, Sizes], source: str = "student", target: str = "auxiliary"
    ) -> None:
        super().__init__(sizes, source, target)

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch; 0 where there is no second valid row to compare with."""
        source, target, mask = self.pair(representations)
        losses = mutual_relation_loss(source.logits, target.logits, mask)
        return ObjectiveOutput(masked_mean(losses, mask))


class BestBranch(Objective):
    """Mean squared error to the logits of the branch that now is surest of the true class.

    The branches are the source, the target and the others. Where the source is itself the surest,
    the loss is 0. The branches are detached as targets; for networks that teach each other, each
    has a term of its own. Beyond Unimodal Learning: The Importance of Integrating Multiple
    Modalities for Lifelong Learning, Sarfraz, Zonooz, Arani, CoLLAs 2024, arXiv 2405.02766; in the
    authors' code the targets are logits kept from when the sample went into a replay buffer, which
    there is not here. Needs labels.

    Logs ``taught``, the share of rows in which another branch is the surest.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: a branch that may teach it.
        others: further ones.

    Raises:
        ValueError: for an unknown role, or numbers of logits that differ.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        others: Sequence[str] = (),
    ) -> None:
        super().__init__(sizes, source, target)
        self.branches = [source]
        for branch in (target, *others):
            # The checks are those of any pair of roles.
            require_same_classes(Objective(sizes, source, branch), sizes)
            self.branches.append(branch)

    def roles(self) -> frozenset[str]:
        """Return all branches."""
        return frozenset(self.branches)

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch, over the rows which the source and another branch have.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        given = [representations[role] for role in self.branches]
        valid = torch.stack([r.valid for r in given])
        label, mask = class_labels(self, batch, valid[0] & valid[1:].any(dim=0))
        logits = [zero_masked_rows(full_precision(r.logits), r.valid) for r in given]
        teacher, best = best_branch(torch.stack(logits).detach(), label, valid)
        loss = masked_mean(hint_loss(zero_masked_rows(logits[0], mask), teacher), mask)
        return ObjectiveOutput(loss, logs={"taught": masked_mean((best > 0).to(loss.dtype), mask)})
