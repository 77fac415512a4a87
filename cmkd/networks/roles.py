"""The networks of cross-modal distillation: one class over different modality sets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cmkd.networks.base import Encoder
from cmkd.networks.fusion import FusionFactory
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.randomness import seeded


@dataclass(frozen=True)
class NetworkConfig:
    """A further network of a run, as the config has it.

    Attributes:
        like: the role whose modalities and encoders it has.
        modalities: others than that role's; they need encoders in the config.
    """

    like: str = "student"
    modalities: list[str] | None = None


#: Builds an encoder; what ``class_path`` gives in YAML.
EncoderFactory: TypeAlias = Callable[[], Encoder]


class RoleBuilder:
    """Builds the student, the auxiliary model, the teacher, and what else the config names.

    Args:
        student: the student's modalities.
        auxiliary: the auxiliary modalities; the teacher has both. Without any there is no
            auxiliary model, and the teacher sees what the student sees.
        encoders: builds the encoder of each modality.
        teacher_encoders: overrides of ``encoders`` for the teacher and the auxiliary model.
        fusion: builds the fusion of a network with several modalities.
        embedding_dim: width of the embeddings.
        num_outputs: width of the heads.
        dropout: dropout in front of the heads.
        further: configs of further networks, by role.

    Attributes:
        modalities: the modalities of each network there is, by role.

    Raises:
        ValueError: for a student without modalities, overlapping modality sets, or a modality
            without an encoder.
    """

    def __init__(
        self,
        student: Sequence[str],
        auxiliary: Sequence[str],
        encoders: Mapping[str, EncoderFactory],
        teacher_encoders: Mapping[str, EncoderFactory],
        fusion: FusionFactory,
        embedding_dim: int,
        num_outputs: int,
        dropout: float,
        further: Mapping[str, NetworkConfig] | None = None,
    ) -> None:
        _check(student, auxiliary, encoders)
        self.modalities = {
            "student": list(student),
            "teacher": [*student, *auxiliary],
        }
        if auxiliary:
            self.modalities["auxiliary"] = list(auxiliary)
        for argument, given in (("encoders", encoders), ("teacher_encoders", teacher_encoders)):
            unknown = sorted(set(given) - set(self.modalities["teacher"]))
            if unknown:
                raise ValueError(
                    f"model.{argument} has {', '.join(unknown)}, which is neither a student nor "
                    "an auxiliary modality; correct its name or remove it"
                )
        missing = [name for name in self.modalities["teacher"] if name not in encoders]
        if missing:
            raise ValueError(
                f"model.encoders has none for {', '.join(missing)} (it has "
                f"{', '.join(encoders)}); add one or correct the modality's name"
            )
        self._encoders = {role: dict(encoders) for role in self.modalities}
        for role in self._encoders.keys() - {"student"}:
            self._encoders[role] |= teacher_encoders
        for role, config in (further or {}).items():
            self._add(role, config)
        self._fusion = fusion
        self._embedding_dim = embedding_dim
        self._num_outputs = num_outputs
        self._dropout = dropout

    def _add(self, role: str, config: NetworkConfig) -> None:
        where = f"model.networks.{role}"
        if role in self.modalities or not role.isidentifier():
            raise ValueError(f"{where}: choose another name, a word that no other network has")
        if config.like not in self.modalities:
            raise ValueError(
                f"{where}.like: there is no network '{config.like}'; choose one of "
                f"{', '.join(self.modalities)}"
            )
        modalities = config.modalities or self.modalities[config.like]
        if unknown := sorted(set(modalities) - set(self._encoders[config.like])):
            raise ValueError(f"{where}.modalities: model.encoders has none for {unknown[0]}")
        self.modalities[role] = list(modalities)
        self._encoders[role] = self._encoders[config.like]

    def build(self, role: str, seed: int) -> ModalityNetwork:
        """Build one network; its first weights are a function of (seed, role) alone."""
        with seeded(seed, "network", role):
            encoders = {name: self._encoders[role][name]() for name in self.modalities[role]}
            return ModalityNetwork(
                encoders,
                self._fusion,
                embedding_dim=self._embedding_dim,
                num_outputs=self._num_outputs,
                dropout=self._dropout,
            )


def _check(
    student: Sequence[str], auxiliary: Sequence[str], encoders: Mapping[str, EncoderFactory]
) -> None:
    if not student:
        raise ValueError(
            f"model.student_modalities is empty; name at least one of {', '.join(encoders)}"
        )
    for name, modalities in (("student", student), ("auxiliary", auxiliary)):
        argument = f"model.{name}_modalities"
        if len(set(modalities)) < len(modalities):
            raise ValueError(f"{argument} names a modality twice: {', '.join(modalities)}")
    shared = sorted(set(student) & set(auxiliary))
    if shared:
        raise ValueError(
            f"{', '.join(shared)} stands in both model.student_modalities and "
            "model.auxiliary_modalities; an auxiliary modality is one the student never sees"
        )
