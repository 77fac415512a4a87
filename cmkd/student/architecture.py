"""A network as plain data: what it takes to build it again, without its weights."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from cmkd.networks.base import Encoder, Fusion
from cmkd.networks.fusion import Average
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.student.class_paths import ClassSpec

#: The encoders' argument that chooses pretrained weights; a network that is loaded has its own.
_PRETRAINED = "weights"
_KEYS = ("encoders", "fusion", "embedding_dim", "num_outputs", "dropout")


@dataclass(frozen=True)
class Architecture:
    """What a ``ModalityNetwork`` is built of.

    Attributes:
        encoders: by modality, in their order.
        fusion: of the modalities' tokens.
        embedding_dim: width of the embedding.
        num_outputs: width of the head.
        dropout: in front of the head.
    """

    encoders: Mapping[str, ClassSpec]
    fusion: ClassSpec
    embedding_dim: int
    num_outputs: int
    dropout: float = 0.0

    @classmethod
    def read(cls, given: Any, where: str) -> "Architecture":
        """Read what ``written`` gave.

        Raises:
            ValueError: for a missing, unknown or malformed field; the message names it.
        """
        if not isinstance(given, Mapping) or set(given) != set(_KEYS):
            raise ValueError(f"{where}: has to have the fields {', '.join(_KEYS)}")
        encoders = given["encoders"]
        if not isinstance(encoders, Mapping) or not encoders:
            raise ValueError(f"{where}.encoders: has to name the encoder of each modality")
        for key in ("embedding_dim", "num_outputs"):
            if type(given[key]) is not int or given[key] < 1:
                raise ValueError(f"{where}.{key}: has to be 1 or more, got {given[key]!r}")
        if type(given["dropout"]) not in (int, float) or not 0 <= given["dropout"] <= 1:
            raise ValueError(f"{where}.dropout: has to lie in [0, 1], got {given['dropout']!r}")
        return cls(
            {
                str(name): _untrained(ClassSpec.read(spec, f"{where}.encoders.{name}"))
                for name, spec in encoders.items()
            },
            ClassSpec.read(given["fusion"], f"{where}.fusion"),
            given["embedding_dim"],
            given["num_outputs"],
            float(given["dropout"]),
        )

    @classmethod
    def of_role(cls, hparams: Mapping[str, Any], role: str, where: str) -> "Architecture":
        """Return that of a run's network.

        Args:
            hparams: arguments of ``CrossModalDistillation`` as a checkpoint of the CLI holds them.
            role: ``student`` or ``teacher``.
            where: the checkpoint, for messages.

        Raises:
            ValueError: when they lack what was not plain data: the model was built in Python.
        """
        if missing := [k for k in ("encoders", "student_modalities") if not hparams.get(k)]:
            raise ValueError(
                f"{where}: there is no {missing[0]} in it: the model was built in Python, from "
                "classes, which a checkpoint does not hold. Train from a YAML, or make the Student "
                "in Python: Student(model.network('student'), data.preprocessing(), "
                "data.class_names)"
            )
        modalities = list(hparams["student_modalities"])
        encoders = dict(hparams["encoders"])
        if role == "teacher":
            modalities += hparams.get("auxiliary_modalities") or []
            encoders |= hparams.get("teacher_encoders") or {}
        default = f"{Average.__module__}.{Average.__qualname__}"
        return cls.read(
            {
                "encoders": {name: encoders[name] for name in modalities},
                "fusion": hparams.get("fusion") or default,
                "embedding_dim": hparams.get("embedding_dim"),
                "num_outputs": hparams.get("num_classes"),
                "dropout": hparams.get("dropout", 0.0),
            },
            where,
        )

    def written(self) -> dict[str, Any]:
        """Return plain data that ``read`` reads."""
        return {
            "encoders": {name: spec.written() for name, spec in self.encoders.items()},
            "fusion": self.fusion.written(),
            "embedding_dim": self.embedding_dim,
            "num_outputs": self.num_outputs,
            "dropout": self.dropout,
        }

    def build(self, where: str, trust: Collection[str]) -> ModalityNetwork:
        """Build the network, in eval mode, with weights of no meaning.

        Raises:
            ValueError: for a class that is not allowed, not there, or refuses its arguments.
        """
        with torch.random.fork_rng(devices=[]):
            encoders = {
                name: spec.build(Encoder, f"{where}.encoders.{name}", trust)
                for name, spec in self.encoders.items()
            }
            network = ModalityNetwork(
                encoders,
                lambda count, dim: self.fusion.build(Fusion, f"{where}.fusion", trust, count, dim),
                embedding_dim=self.embedding_dim,
                num_outputs=self.num_outputs,
                dropout=self.dropout,
            )
        return network.eval()


def _untrained(spec: ClassSpec) -> ClassSpec:
    """Let an encoder download nothing."""
    if spec.init_args.get(_PRETRAINED) is None:
        return spec
    return replace(spec, init_args={**spec.init_args, _PRETRAINED: None})
