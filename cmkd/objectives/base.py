"""What an objective is: representations of named networks in, one scalar loss out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor, nn

from cmkd.batch import Batch
from cmkd.distributed import mean_over_ranks
from cmkd.representation import Representation, Sizes


@dataclass(frozen=True)
class ObjectiveOutput:
    """What an objective gives for one batch.

    Attributes:
        loss: scalar; pulls the networks and the objective's own layers.
        critic_loss: scalar that pulls nothing but ``Objective.critic_parameters()``; None for an
            objective without a critic. It shares the one backward with ``loss``, so it must be
            computed from detached representations.
        logs: further scalars to log, by the suffix of their name (``bound`` is logged as
            ``train/<term>_bound``).
    """

    loss: Tensor
    critic_loss: Tensor | None = None
    logs: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StageContext:
    """What an objective may know when the stage begins in which it takes part.

    Attributes:
        networks: the networks by role, as the stage finds them.
        train_samples: number of training samples; ``batch["index"]`` counts up to it.
        num_classes: width of the logits.
    """

    networks: Mapping[str, nn.Module]
    train_samples: int
    num_classes: int


class Objective(nn.Module):
    """A term of the training loss between two networks.

    An objective is built with the widths of all networks and then told which two it compares, so
    that I(T;S) and I(T;A) are the same class. It knows nothing of Lightning, stages or weights.

    Args:
        sizes: the networks' widths by role (``student``, ``teacher``, ``auxiliary``).
        source: the role that is pulled, usually the student.
        target: the role it is pulled towards, usually the teacher.

    Raises:
        ValueError: when source or target is no known role, or both are the same.
    """

    #: Fewest rows (over all ranks) a batch may have; contrastive objectives need two.
    minimum_rows = 1

    def __init__(
        self, sizes: Mapping[str, Sizes], source: str = "student", target: str = "teacher"
    ) -> None:
        super().__init__()
        for argument, role in (("source", source), ("target", target)):
            if role not in sizes:
                raise ValueError(
                    f"{type(self).__name__}.{argument}: there is no network '{role}'; "
                    f"choose one of {', '.join(sorted(sizes))}"
                )
        if source == target:
            raise ValueError(f"{type(self).__name__}: source and target are both '{source}'")
        self.source = source
        self.target = target

    def roles(self) -> frozenset[str]:
        """Return the networks whose representations ``forward`` reads.

        ``cmkd.subsets.subset_role`` names a network that is given some of its modalities only.
        """
        return frozenset((self.source, self.target))

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that ``critic_loss`` trains, with an optimizer of their own."""
        return []

    def begin_stage(self, context: StageContext) -> None:
        """Prepare for the stage, for example copy a classifier.

        Called once, before the stage's first step; never again after a resume, which brings the
        buffers from the checkpoint.
        """

    def allocate(self, context: StageContext) -> None:
        """Make the buffers whose size depends on the data; called before a checkpoint is loaded."""

    def set_epoch(self, epoch: float, length: float) -> None:
        """Take note of the position in the stage, in epochs; called before each step.

        Args:
            epoch: how many epochs of the stage are done, parts of one included.
            length: how many it has; infinite where the trainer has no end.
        """

    def observe(self, scores: Mapping[str, float]) -> None:
        """Take note of the networks' validation metrics, by role, after each validation.

        For networks that the stage does not train it is the metric they were kept for.
        """

    def pair(
        self, representations: Mapping[str, Representation]
    ) -> tuple[Representation, Representation, Tensor]:
        """Return source, target, and the (B,) bool mask of the rows valid in both."""
        source, target = representations[self.source], representations[self.target]
        return source, target, source.valid & target.valid

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch.

        Args:
            representations: at least those of ``roles()``.
            batch: the batch they come from, for labels and sample numbers.
        """
        raise NotImplementedError


#: Builds an objective once the networks' widths are known; what ``class_path`` gives in YAML.
ObjectiveFactory: TypeAlias = Callable[[Mapping[str, Sizes]], Objective]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (B,) over the rows where mask (B,) is True; 0 where there is none.

    Under DDP the divisor is the mean count over ranks, so that DDP's average of the gradients is
    the gradient of the mean over all valid rows, however they are spread.
    """
    count = mean_over_ranks(mask.sum().to(values.dtype))
    # where, not multiplication: 0 * inf of a masked row would be NaN.
    kept = values.where(mask, values.new_zeros(()))
    # With ranks the mean count of a lone valid row is 1/ranks: any positive count is a divisor.
    return kept.sum() / count.where(count > 0, count.new_ones(()))
