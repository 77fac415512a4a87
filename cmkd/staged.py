"""A LightningModule that trains its networks in stages.

Which networks learn in which epochs, their optimizers, what a stage keeps for the next, and how all
of it is saved: everything but the networks, the losses and the metrics themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from cmkd.checkpoints import ENTRY, check_fit, check_origin
from cmkd.distributed import destroy_group_at_exit, keep_from_broadcast
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.networks.roles import RoleBuilder
from cmkd.objectives.base import StageContext
from cmkd.optimization import Stepper, accumulation_window
from cmkd.progress import StageProgress
from cmkd.stages import STUDENT_STAGE, Stage, skip_epochs
from cmkd.terms import Terms


def train_samples(trainer: Trainer) -> int:
    """Return the number of training samples, 0 where the data does not say."""
    return int(getattr(trainer.datamodule, "train_samples", 0))  # type: ignore[attr-defined]


class StagedModule(LightningModule):
    """Base of a module with stages; a subclass sets the attributes and calls :meth:`begin`.

    Attributes:
        roles: builds the networks.
        networks: them, by role.
        seed: of the run; part of the checkpoint, so that a resumed run goes on with its numbers.
        keep_cotrained_student: let the student stage go on with the student of the stages before.
        optimizer_factory: builds the optimizer of the networks.
        critic_optimizer_factory: builds that of discriminators and probes.
        gradient_clip_norm: largest gradient norm, None for no clipping.
        accumulate: batches a step.
        progress: how far the run has come in its stages.
        stage_terms: the objectives of each stage, by its name.
    """

    roles: RoleBuilder
    networks: nn.ModuleDict
    seed: int
    keep_cotrained_student: bool
    optimizer_factory: OptimizerCallable
    critic_optimizer_factory: OptimizerCallable
    gradient_clip_norm: float | None
    accumulate: int
    progress: StageProgress
    stage_terms: nn.ModuleDict

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a module as Lightning does, but from tensors and plain data alone.

        Raises:
            ValueError: for ``weights_only=False``.
        """
        if weights_only is False:
            raise ValueError(
                "weights_only is false, but checkpoints are read as tensors and plain data alone, "
                "as anything else could run code; leave it out"
            )
        # Said, not left open: an environment variable of torch's turns the default round.
        return super().load_from_checkpoint(
            checkpoint_path, map_location, hparams_file, strict, True, **kwargs
        )

    def begin(self, stages: Sequence[Stage], terms: Mapping[str, Terms], mode: str) -> None:
        """Take over the stages, and freeze what the first one does not train.

        Args:
            stages: of the run, in their order.
            terms: the objectives by stage.
            mode: ``max`` or ``min``, which validation metric is better.
        """
        self.stage_terms = nn.ModuleDict(dict(terms))
        self.progress = StageProgress(stages, mode)
        # What a user's encoder froze stays frozen in every stage.
        self._learnable = {name for name, p in self.named_parameters() if p.requires_grad}
        self._train_samples = 0
        self._apply_stage()

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.progress.stage

    def network(self, role: str) -> ModalityNetwork:
        """Return the network of a role: ``student``, ``auxiliary`` or ``teacher``."""
        network = self.networks[role]
        assert isinstance(network, ModalityNetwork)  # noqa: S101 - for the type checker
        return network

    def allocate(self, train_samples: int) -> None:
        """Let the objectives make the buffers whose size depends on the data."""
        self._train_samples = train_samples
        context = self._context()
        for stage in self.progress.stages:
            for objective in stage.terms.by_name().values():
                objective.allocate(context)
        keep_from_broadcast(self)

    def _context(self) -> StageContext:
        networks = dict(self.networks.items())
        return StageContext(networks, self._train_samples, self.network("student").num_outputs)

    def on_fit_start(self) -> None:
        """Skip the epochs of a teacher stage that ``teacher_checkpoint`` replaces.

        The epochs keep their numbers, hence their order and augmentation. A checkpoint that the
        run resumes from is read after this and sets its own epoch.
        """
        skipped = self.progress.stages[0].first_epoch
        if skip_epochs(self.trainer, skipped):
            rank_zero_info(f"stages before the student's skipped: epochs 0 to {skipped - 1}")

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Have the ranks part in order as their processes end; a failed run does not get here."""
        destroy_group_at_exit()

    def on_train_epoch_start(self) -> None:
        """Change the stage where the epoch begins one: the only place where it changes."""
        left = self.progress.move_to(self.current_epoch)
        if left is not None:
            self._change_from(left)
        if self.progress.begins():
            for objective in self.stage.terms.by_name().values():
                objective.begin_stage(self._context())

    def _change_from(self, left: Stage) -> None:
        if not self.progress.restore(left, self.networks):
            rank_zero_warn(
                f"the {left.trained[0]} was never validated: the student learns from that of the "
                "last epoch, not from the best one"
            )
        if self.stage.name == STUDENT_STAGE and not self.keep_cotrained_student:
            new = self.roles.build("student", self.seed)
            self.networks["student"].load_state_dict(new.state_dict())
        self._apply_stage()
        if isinstance(self.trainer.strategy, DDPStrategy):
            # DDP waits for the gradients of those parameters that needed one when it was built.
            self.trainer.strategy.model = self
            self.trainer.strategy.configure_ddp()

    def _apply_stage(self) -> None:
        learns = self._learns(self.stage)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(learns(name))
            parameter.grad = None
        self.train(self.training)

    def _learns(self, stage: Stage) -> Callable[[str], bool]:
        """Return what tells a parameter's name whether it learns in a stage."""
        active = [f"networks.{role}." for role in stage.trained]
        active += [f"stage_terms.{stage.name}.", "task."]
        frozen = tuple(f"networks.{part}." for part in stage.config.frozen)
        return lambda name: (
            name in self._learnable
            and name.startswith(tuple(active))
            and not name.startswith(frozen)
        )

    def train(self, mode: bool = True) -> Self:
        """Set the mode, keeping networks that the stage does not train in eval mode."""
        super().train(mode)
        for role, network in self.networks.items():
            if role not in self.stage.trained:
                network.eval()
        return self

    def configure_optimizers(self) -> list[Optimizer]:
        """Return for each stage the networks' optimizer and, if there are critics, theirs."""
        self._stepper = Stepper(
            self.optimizer_factory, self.critic_optimizer_factory, self.gradient_clip_norm
        )
        names = {id(p): name for name, p in self.named_parameters()}
        optimizers: list[Optimizer] = []
        for stage in self.progress.stages:
            learns = self._learns(stage)
            parameters = [p for r in sorted(stage.trained) for p in self.networks[r].parameters()]
            parameters += stage.terms.main_parameters()
            optimizers += self._stepper.add_stage(
                stage.name,
                [p for p in parameters if learns(names[id(p)])],
                stage.terms.critic_groups(),
            )
        return optimizers

    def position(self, batch_idx: int) -> float:
        """Return the position in the stage, in epochs."""
        batches = self.trainer.num_training_batches
        fraction = 0.0 if batches == float("inf") else batch_idx / batches
        return self.current_epoch - self.stage.first_epoch + fraction

    def optimize(self, loss: Tensor, batch_idx: int, rate_factor: float) -> dict[str, Tensor]:
        """Run the backward of a batch, and the step where its window of batches ends.

        Args:
            loss: of the batch.
            batch_idx: its number in the epoch.
            rate_factor: what the learning rates are multiplied by.

        Returns:
            What to log of the step; nothing in between.
        """
        batches = self.trainer.num_training_batches
        length, first, last = accumulation_window(batch_idx, batches, self.accumulate)
        if first:
            self._stepper.zero_grad(self.stage.name)
        # Lightning is still in its autocast here, in which the backward of a product that was
        # computed in float32 would be rounded to bfloat16.
        with (
            torch.autocast(self.device.type, enabled=False),
            nullcontext() if last else self._no_reduction(),
        ):
            self.manual_backward(loss / length)
        if not last:
            return {}
        wrapped = self.optimizers()
        wrapped = wrapped if isinstance(wrapped, list) else [wrapped]
        return self._stepper.step(self.stage.name, wrapped, rate_factor)

    def _no_reduction(self) -> AbstractContextManager[None]:
        """Return a context whose backward adds to this rank's gradients alone.

        Ranks need not average before the backward that ends a window of batches.
        """
        wrapped = self.trainer.strategy.model
        if isinstance(wrapped, nn.parallel.DistributedDataParallel):
            context: AbstractContextManager[None] = wrapped.no_sync()
            return context
        return nullcontext()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the state dict does not hold; plain data and tensors only."""
        checkpoint[ENTRY] = {
            "seed": self.seed,
            "train_samples": self._train_samples,
            "modalities": self.roles.modalities,
            "progress": self.progress.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint is ours and fits, and take over the stage it was written in.

        Raises:
            ValueError: for a checkpoint of another class or architecture.
        """
        check_origin(checkpoint, "this checkpoint")
        entry = checkpoint[ENTRY]
        self.allocate(entry["train_samples"])
        check_fit(checkpoint, self)
        self.seed = entry["seed"]
        self.progress.load_state_dict(entry["progress"])
        self._apply_stage()
