"""A staged module's evaluation: validation, test, prediction."""

from torch import Tensor

from cmkd.batch import Batch, batch_modalities
from cmkd.metrics.by_role import RoleMetrics
from cmkd.representation import Representation
from cmkd.staged import StagedModule
from cmkd.tasks import Task


class ScoredModule(StagedModule):
    """Scores the networks that the current stage trains, and in the test the student.

    Attributes:
        task: says what a prediction is and which metrics there are.
        has_teacher: whether there is a teacher that has learned, or will.
    """

    task: Task
    has_teacher: bool
    _metrics: RoleMetrics

    def forward(self, batch: Batch) -> Representation:
        """Return the student's representation of a batch that holds its modalities."""
        representation: Representation = self.network("student")(batch)
        return representation

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Representation]:  # noqa: ARG002
        """Score the networks that the stage trains; callbacks get what they gave, by role."""
        outputs = {role: self.networks[role](batch) for role in sorted(self.stage.trained)}
        for role, representation in outputs.items():
            self._metrics.update(role, representation, batch)
        return outputs

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics; before the student stage keep the best networks."""
        values = self._log_metrics("val")
        names = {role: f"val/{role}_{self.task.monitor}" for role in self.stage.trained}
        scores = {role: float(values[name]) for role, name in names.items() if name in values}
        if self.trainer.sanity_checking:
            return
        self.progress.note(scores, self.current_epoch, self.networks)
        for objective in self.stage.terms.by_name().values():
            objective.observe(self.progress.scores)

    def on_test_start(self) -> None:
        """Refuse a gallery that the task does not search."""
        if len(self.trainer.num_test_batches) > 1 and not self.task.searches:
            raise ValueError(
                f"the data gives a gallery, but {type(self.task).__name__} searches nothing; set "
                "data.init_args.gallery to false or model.task to cmkd.tasks.Retrieval"
            )

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Score the student; the teacher too where the batch holds the auxiliary modalities.

        The first dataloader gives what is evaluated, a second one the gallery it is searched in.
        """
        gallery = dataloader_idx > 0
        self._metrics.update("student", self(batch), batch, gallery)
        complete = set(self.roles.modalities["teacher"]) <= set(batch_modalities(batch))
        if complete and self.has_teacher:
            self._metrics.update("teacher", self.networks["teacher"](batch), batch, gallery)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_metrics("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the student's ``prediction`` (B, ...) and ``embedding`` (B, D) of each row.

        With ``index`` (B,) and, where the batch has it, ``window`` (B,) to tell the rows apart.
        """
        representation = self(batch)
        return {key: batch[key] for key in ("index", "window") if key in batch} | {
            "prediction": self.task.predictions(representation),
            "embedding": representation.embedding.float(),
        }

    def _log_metrics(self, split: str) -> dict[str, Tensor]:
        values = self._metrics.pop(split)
        self.log_dict(values, batch_size=1)
        return values
