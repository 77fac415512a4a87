"""The weighted sum of objectives that a stage adds to the task loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cmkd.batch import Batch
from cmkd.distributed import world_size
from cmkd.objectives.base import Objective, ObjectiveFactory
from cmkd.randomness import seeded
from cmkd.representation import Representation, Sizes
from cmkd.schedules import ramp


@dataclass
class Term:
    """One objective of a stage, as a config gives it.

    Attributes:
        objective: builds the objective from the networks' widths.
        weight: its factor in the loss; 0 switches the term off, nothing of it is built.
        warmup_epochs: epochs of the stage over which the weight rises linearly from 0.
    """

    objective: ObjectiveFactory
    weight: float = 1.0
    warmup_epochs: float = 0.0


@dataclass(frozen=True)
class TermsOutput:
    """Loss, critic loss (None without critics) and what to log, by term."""

    loss: Tensor
    critic_loss: Tensor | None
    logs: dict[str, Tensor] = field(default_factory=dict)


class Terms(nn.Module):
    """Builds the objectives of one stage and sums them by weight.

    Args:
        terms: by name; None or weight 0 leaves a term out.
        sizes: the networks' widths by role.
        seed: every objective draws its first weights from (seed, stage, its name), so that
            adding one term does not change the start of another.
        stage: the stage's name.

    Raises:
        ValueError: for a negative weight or warm-up, an objective that does not fit, or one that
            asks for a network that is not there.
    """

    def __init__(
        self,
        terms: Mapping[str, Term | None],
        sizes: Mapping[str, Sizes],
        seed: int = 0,
        stage: str = "",
    ) -> None:
        super().__init__()
        self.weights: dict[str, float] = {}
        self.warmup_epochs: dict[str, float] = {}
        self.objectives = nn.ModuleDict()
        for name, term in terms.items():
            if term is None or term.weight == 0:
                continue
            if term.weight < 0 or term.warmup_epochs < 0:
                raise ValueError(
                    f"{stage}_terms.{name}: weight and warmup_epochs must not be negative, got "
                    f"{term.weight} and {term.warmup_epochs}"
                )
            with seeded(seed, stage, name):
                try:
                    self.objectives[name] = term.objective(sizes)
                except ValueError as error:
                    raise ValueError(f"{stage}_terms.{name}: {error}") from error
                except KeyError as role:
                    raise ValueError(
                        f"{stage}_terms.{name}: there is no network {role}; this run has "
                        f"{', '.join(sizes)} (no auxiliary model without auxiliary_modalities)"
                    ) from role
            self.weights[name] = term.weight
            self.warmup_epochs[name] = term.warmup_epochs

    def by_name(self) -> dict[str, Objective]:
        """Return the objectives by name."""
        return {n: o for n, o in self.objectives.items() if isinstance(o, Objective)}

    def roles(self) -> frozenset[str]:
        """Return the networks, or subsets of their modalities, that an objective reads."""
        return frozenset().union(*(objective.roles() for objective in self.by_name().values()))

    def critic_groups(self) -> list[list[nn.Parameter]]:
        """Return the critics' parameters, one list an objective that has a critic."""
        groups = [objective.critic_parameters() for objective in self.by_name().values()]
        return [group for group in groups if group]

    def main_parameters(self) -> list[nn.Parameter]:
        """Return the objectives' own parameters that are no critic's."""
        critics = {id(p) for group in self.critic_groups() for p in group}
        return [p for p in self.parameters() if id(p) not in critics]

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,
        epoch: float,
        length: float,
    ) -> TermsOutput:
        """Sum the objectives of one batch.

        Args:
            representations: by role, at least ``roles()``.
            batch: the batch.
            epoch: position in the stage in epochs, for the weights' warm-up.
            length: of the stage, in epochs.

        Raises:
            ValueError: when the batch has fewer rows than an objective needs.
        """
        loss = torch.zeros((), device=batch["index"].device)
        critic_loss: Tensor | None = None
        logs: dict[str, Tensor] = {}
        rows = len(batch["index"]) * world_size()
        for name, objective in self.by_name().items():
            if rows < objective.minimum_rows:
                raise ValueError(
                    f"term '{name}' ({type(objective).__name__}) needs at least "
                    f"{objective.minimum_rows} samples in a batch and got {rows}; set "
                    f"data.batch_size to {objective.minimum_rows} or more, or leave a shorter "
                    "last batch out (drop_last)"
                )
            objective.set_epoch(epoch, length)
            output = objective(representations, batch)
            loss = loss + self.weights[name] * ramp(epoch, self.warmup_epochs[name]) * output.loss
            if output.critic_loss is not None:
                critic_loss = output.critic_loss + (0 if critic_loss is None else critic_loss)
            logs[name] = output.loss.detach()
            logs |= {f"{name}_{suffix}": value for suffix, value in output.logs.items()}
        return TermsOutput(loss, critic_loss, logs)
