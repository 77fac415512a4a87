"""The LightningModule: what it is made of, and one training step.

Stages and optimizers are those of ``cmkd.staged``, evaluation is in ``cmkd.scored``; what is
learned is put together elsewhere: networks in ``cmkd.networks``, objectives in
``cmkd.objectives``, their weights in ``cmkd.terms``, the task in ``cmkd.tasks``.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn

from cmkd.batch import Batch
from cmkd.checkpoints import TEACHERS, load_teacher
from cmkd.hyperparameters import keep_plain_hyperparameters
from cmkd.metrics.by_role import RoleMetrics
from cmkd.metrics.training_log import TrainingLog
from cmkd.networks.fusion import Average, FusionFactory
from cmkd.networks.roles import EncoderFactory, NetworkConfig, RoleBuilder
from cmkd.objectives.gaussian import GaussianConditionalEntropy
from cmkd.objectives.probe import Probe
from cmkd.randomness import seed_step
from cmkd.representation import Representation
from cmkd.schedules import Schedule
from cmkd.scored import ScoredModule
from cmkd.staged import train_samples
from cmkd.stages import (
    STUDENT_STAGE,
    StageConfig,
    plan_stages,
    two_stages,
)
from cmkd.subsets import drop_modalities, network_of, restricted
from cmkd.tasks import Classification, TaskFactory
from cmkd.teacher_cache import TeacherCache
from cmkd.terms import Term, Terms
from cmkd.trainer_checks import check_trainer


class CrossModalDistillation(ScoredModule):
    """Two-stage cross-modal distillation; the AMID objective, our implementation, by its defaults.

    The teacher sees the student and the auxiliary modalities, the auxiliary model the auxiliary
    ones, the student its own; all three are one class (``ModalityNetwork``).

    *Teacher stage* (``teacher_epochs`` epochs): teacher learns its task and ``teacher_terms``; the
    networks that those terms name (a co-trained student, the auxiliary model) learn along with
    it. The best teacher by its validation metric is kept. *Student stage* (until the trainer's
    ``max_epochs``): that teacher and its auxiliary model are frozen, and the student learns its
    task and ``student_terms``. Without teacher epochs and without terms this trains the student
    alone.

    After Chen, Xing, Wang & Zhang, "Enhanced Multimodal Representation Learning with Cross-modal
    KD", CVPR 2023 (arXiv 2306.07646), of which the abstract fixes the objective:
    maximise I(T;S) + I(T;A), minimise H(T|S).

    Args:
        student_modalities: what the student sees.
        auxiliary_modalities: what exists in training only; without any there is no auxiliary model.
        encoders: builds the encoder of each modality; called once for each network that has it.
        num_classes: number of outputs of each head; the CLI links it from the datamodule.
        teacher_encoders: overrides ``encoders`` by modality for the teacher and the auxiliary
            model, for example with a larger network.
        fusion: builds the fusion of networks with several modalities.
        embedding_dim: width of the embeddings.
        dropout: dropout in front of the heads.
        task: builds the task.
        teacher_terms: objectives of the teacher stage by name; None or weight 0 leaves one out.
        student_terms: objectives of the student stage.
        networks: further networks by role, for schemes that need them: a peer, an assistant.
        stages: the stages by name, in place of those that ``teacher_terms`` and ``student_terms``
            describe; the last is called ``student``.
        teacher_epochs: length of the teacher stage, or of all stages before the student's.
        teacher_checkpoint: checkpoint of an earlier run whose (best) teacher and auxiliary model
            are used; the teacher stage's epochs are then skipped, so that the student stage is
            the same as if they had been run.
        student_alone: leave the teacher stage's epochs out and train the student with its task
            loss: the baseline, with as many epochs, in the same order, as a distilled student.
        keep_cotrained_student: go on with the student of the teacher stage; by default the student
            stage starts from a new student, as long a training as the student alone gets.
        optimizer: builds the optimizer of the networks.
        critic_optimizer: builds that of discriminators and probes; by default like ``optimizer``.
        schedule: learning-rate schedule of each stage, in epochs of the stage.
        gradient_clip_norm: largest gradient norm, for the networks and for each critic.
        accumulate: batches a step. With N, mean losses equal those of one N times larger batch;
            in-batch contrastive losses still see one batch's candidates.
        entropy_probe: train a Gaussian probe beside the student, to log an upper bound on H(T|S)
            (``train/entropy_nats``) whichever objective is used. It pulls no network.
        cache_teacher: run frozen networks once on each training sample and keep what they gave in
            the run's folder. Needs data without augmentation (``data.init_args.augment: false``;
            feature vectors have none).

    Raises:
        ValueError: for arguments that contradict each other; the message names them.
    """

    def __init__(
        self,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        encoders: dict[str, EncoderFactory],
        num_classes: int,
        teacher_encoders: dict[str, EncoderFactory] | None = None,
        fusion: FusionFactory = Average,
        embedding_dim: int = 128,
        dropout: float = 0.0,
        task: TaskFactory = Classification,
        teacher_terms: dict[str, Term | None] | None = None,
        student_terms: dict[str, Term | None] | None = None,
        networks: dict[str, NetworkConfig] | None = None,
        stages: dict[str, StageConfig] | None = None,
        teacher_epochs: int = 0,
        teacher_checkpoint: str | None = None,
        student_alone: bool = False,
        keep_cotrained_student: bool = False,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        critic_optimizer: OptimizerCallable | None = None,
        schedule: Schedule | None = None,
        gradient_clip_norm: float | None = None,
        accumulate: int = 1,
        entropy_probe: bool = True,
        cache_teacher: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        keep_plain_hyperparameters(self)
        self.automatic_optimization = False
        if teacher_epochs < 0 or accumulate < 1:
            raise ValueError(
                "model.teacher_epochs must be 0 or more and model.accumulate 1 or more, got "
                f"{teacher_epochs} and {accumulate}"
            )
        self.teacher_checkpoint = None if student_alone else teacher_checkpoint
        self.keep_cotrained_student = keep_cotrained_student
        self.optimizer_factory = optimizer
        self.critic_optimizer_factory = critic_optimizer or optimizer
        self.schedule = schedule or Schedule()
        self.gradient_clip_norm = gradient_clip_norm
        self.accumulate = accumulate
        self.cache_teacher = cache_teacher
        self._teacher_cache: TeacherCache | None = None
        # Part of the checkpoint, so that a resumed run goes on with the first run's numbers.
        self.seed = torch.initial_seed()

        self.roles = RoleBuilder(
            student_modalities,
            auxiliary_modalities,
            encoders,
            teacher_encoders or {},
            fusion=fusion,
            embedding_dim=embedding_dim,
            num_outputs=num_classes,
            dropout=dropout,
            further=networks,
        )
        self.networks = nn.ModuleDict(
            {role: self.roles.build(role, self.seed) for role in self.roles.modalities}
        )
        self.task = task(num_classes)
        given = [r for r in TEACHERS if r in self.networks] if self.teacher_checkpoint else []
        self.has_teacher = bool(given) or (teacher_epochs > 0 and not student_alone)
        configs = self._stage_configs(stages, teacher_terms, student_terms, student_alone)
        if entropy_probe and self.has_teacher and STUDENT_STAGE in configs:
            probe = Term(partial(Probe, objective=GaussianConditionalEntropy))
            configs[STUDENT_STAGE].terms.setdefault("entropy", probe)
        sizes = {role: self.network(role).sizes for role in self.networks}
        terms = {n: Terms(config.terms, sizes, self.seed, n) for n, config in configs.items()}
        self._log = TrainingLog()
        self._metrics = RoleMetrics(self.task)
        stages_of_run = plan_stages(configs, terms, self.roles.modalities, teacher_epochs, given)
        self.begin(stages_of_run, terms, self.task.mode)

    @staticmethod
    def _stage_configs(
        stages: dict[str, StageConfig] | None,
        teacher_terms: dict[str, Term | None] | None,
        student_terms: dict[str, Term | None] | None,
        student_alone: bool,
    ) -> dict[str, StageConfig]:
        """Return the stages that the arguments describe in either way."""
        if stages is not None and (teacher_terms or student_terms):
            raise ValueError(
                "model.stages holds the terms of each stage; set model.teacher_terms and "
                "model.student_terms to null"
            )
        if student_alone:
            if stages or student_terms:
                raise ValueError(
                    "model.student_alone leaves out every term and stage; set it to false, or "
                    "model.stages and model.student_terms to null"
                )
            return {STUDENT_STAGE: StageConfig(["student"])}
        if stages is None:
            return two_stages(teacher_terms or {}, student_terms or {})
        return {name: replace(config, terms=dict(config.terms)) for name, config in stages.items()}

    def setup(self, stage: str) -> None:
        """Check the trainer and make what depends on the data."""
        if stage != "fit":
            return
        check_trainer(self.trainer, self)
        self._resumed = False
        self.allocate(train_samples(self.trainer))
        self._teacher_cache = TeacherCache(self.trainer) if self.cache_teacher else None
        student_stage = self.progress.stages[-1]
        if student_stage.first_epoch >= (self.trainer.max_epochs or float("inf")) > 0:
            rank_zero_warn(
                f"trainer.max_epochs ({self.trainer.max_epochs}) ends the run before the student "
                f"stage, which begins at epoch {student_stage.first_epoch}"
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over a checkpoint; it brings its own teacher."""
        super().on_load_checkpoint(checkpoint)
        self._resumed = True

    def on_fit_start(self) -> None:
        """Load the teacher from ``teacher_checkpoint``, unless a resumed run has brought its own.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it holds no teacher of this architecture.
        """
        super().on_fit_start()
        if self.teacher_checkpoint is not None and not self._resumed:
            self.progress.scores |= load_teacher(self.teacher_checkpoint, self.networks)
            rank_zero_info(
                f"teacher loaded from '{self.teacher_checkpoint}', all entries matched "
                f"(validation metrics: {self.progress.scores})"
            )

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Check the labels while they are on the CPU, where that costs no synchronisation."""
        if "label" in batch:
            self.task.check(batch)
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Run each network once, and one backward through all losses of the stage."""
        stage = self.stage
        # Dropout and noise of a step depend on the step, not on what ran before a resume.
        seed_step(self.device, self.seed, self.global_rank, self.current_epoch, batch_idx)
        representations = {role: self._represent(role, batch) for role in sorted(stage.used)}
        logs: dict[str, Tensor] = {}
        loss = torch.zeros((), device=self.device)
        for role in sorted(stage.trained):
            task_loss = self.task.loss(representations[role], batch)
            loss = loss + stage.task_weight(role) * task_loss
            logs[f"{role}_loss"] = task_loss
            step_metrics = self.task.step_metrics(representations[role], batch)
            logs |= {f"{role}_{name}": value for name, value in step_metrics.items()}
        epoch = self.position(batch_idx)
        length = stage.length(self.trainer.max_epochs)
        terms = stage.terms(representations, batch, epoch, length)
        loss = loss + terms.loss
        if terms.critic_loss is not None:
            loss = loss + terms.critic_loss
        rate_factor = self.schedule.factor(epoch, length)
        logs |= terms.logs | self.optimize(loss, batch_idx, rate_factor)
        self._log.add(logs, self)

    def _represent(self, role: str, batch: Batch) -> Representation:
        network = network_of(role)
        modalities = self.roles.modalities[network]
        probability = self.stage.config.modality_dropout.get(role, 0.0)
        batch = restricted(batch, role, modalities)
        learns = network in self.stage.trained
        if self._teacher_cache is not None and not learns and probability == 0:
            with torch.no_grad():
                return self._teacher_cache.represent(
                    self.stage.name, role, batch, self.networks[network]
                )
        if probability > 0:
            batch = drop_modalities(batch, modalities, probability)
        with torch.set_grad_enabled(learns):
            representation: Representation = self.networks[network](batch)
        return representation
