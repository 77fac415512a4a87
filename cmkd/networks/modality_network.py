"""The one network class of teacher, auxiliary model and student: encoders, a fusion, a head."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cmkd.batch import RESERVED_KEYS, Batch, batch_length, batch_modalities
from cmkd.networks.base import Encoder, Features
from cmkd.networks.fusion import FusionFactory, zero_absent
from cmkd.representation import Representation, Sizes


class ModalityNetwork(nn.Module):
    """Encodes each of its modalities, fuses what is present, and predicts.

    Each encoder's vector goes through LayerNorm and a linear layer to a token of the embedding's
    width. The fusion turns a sample's tokens into the embedding; with one modality there is
    nothing to fuse, and the token is the embedding (zero where absent). The head is dropout and
    a linear layer.

    What stands in an absent modality's row reaches nothing: neither another row (through an
    encoder's BatchNorm either) nor a gradient. Encoders still see a full batch, in which a
    present row stands in for each absent one (zeros where the whole batch has none), so that
    shapes stay fixed and every parameter takes part in every step, as DDP demands.

    Args:
        encoders: the encoder of each modality, by the modality's name in the batch.
        fusion: builds the fusion from (number of modalities, embedding_dim).
        embedding_dim: the width of tokens and embedding, D.
        num_outputs: the width of the logits, C: classes, or 1 for a regression.
        dropout: dropout on the embedding in front of the head's linear layer.

    Attributes:
        modalities: the names of the modalities in the order given.

    Raises:
        ValueError: without encoders, for a modality name that cannot be used, or a width below 1.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: FusionFactory,
        embedding_dim: int,
        num_outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not encoders:
            raise ValueError("ModalityNetwork.encoders is empty: give at least one modality")
        for argument, width in (("embedding_dim", embedding_dim), ("num_outputs", num_outputs)):
            if width < 1:
                raise ValueError(f"ModalityNetwork.{argument} must be at least 1, got {width}")
        for name in encoders:
            _check_name(name)
        self.modalities = list(encoders)
        self.embedding_dim = embedding_dim
        self.num_outputs = num_outputs
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.LayerNorm(encoder.out_features),
                    nn.Linear(encoder.out_features, embedding_dim),
                )
                for name, encoder in encoders.items()
            }
        )
        self.fusion = fusion(len(encoders), embedding_dim) if len(encoders) > 1 else None
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding_dim, num_outputs))

    @property
    def sizes(self) -> Sizes:
        """The widths of this network's representation."""
        hidden = {name: list(self._encoder(name).hidden_features) for name in self.modalities}
        return Sizes(embedding=self.embedding_dim, logits=self.num_outputs, hidden=hidden)

    def forward(self, batch: Batch) -> Representation:
        """Represent a batch, reading nothing but this network's own modalities from it.

        In ``hidden``, as in everything else, the rows of an absent modality hold numbers without
        meaning: mask them with ``batch["present"][modality]``.

        Raises:
            ValueError: when the batch does not hold a modality, or holds it in a shape that the
                encoder does not take.
        """
        tokens, presence, hidden = [], [], {}
        for name in self.modalities:
            features, present = self._encode(name, batch)
            tokens.append(self.projections[name](features.embedding))
            presence.append(present)
            hidden[name] = features.hidden
        stacked, present = torch.stack(tokens, dim=1), torch.stack(presence, dim=1)
        if self.fusion is None:
            embedding = zero_absent(stacked, present).squeeze(1)
        else:
            embedding = self.fusion(stacked, present)
        return Representation(
            embedding=embedding,
            logits=self.head(embedding),
            hidden=hidden,
            valid=present.any(dim=1),
        )

    def _encoder(self, name: str) -> Encoder:
        encoder = self.encoders[name]
        assert isinstance(encoder, Encoder)  # noqa: S101 - narrows ModuleDict's type
        return encoder

    def _encode(self, name: str, batch: Batch) -> tuple[Features, Tensor]:
        """Return the features of one modality and the (B,) bool mask of the rows that have it."""
        if name not in batch:
            held = ", ".join(batch_modalities(batch)) or "none"
            raise ValueError(
                f"the network needs modality '{name}', but the batch holds {held}; name the "
                "modalities of the datamodule and of the networks alike"
            )
        x: Tensor = batch[name]
        length = batch_length(batch, name)
        present: Tensor | None = batch.get("present", {}).get(name)
        if present is None:
            present = torch.ones(x.shape[0], dtype=torch.bool, device=x.device)
        else:
            rows = stand_in_rows(present)
            # With nothing present the stand-in is itself absent, and may hold anything.
            x = x[rows].where(present.any(), x.new_zeros(()))
            length = length[rows] if length is not None else None
        try:
            return self.encoders[name](x, length), present
        except ValueError as error:
            raise ValueError(f"modality '{name}': {error}") from error


def stand_in_rows(present: Tensor) -> Tensor:
    """Return (B,) row numbers: a present row's own, for absent rows the present ones in turn.

    Absent rows of zeros would enter the batch statistics of a BatchNorm, and leaving them out
    would change the shape every step; copies of present rows do neither. With nothing present
    it is row 0 for all.
    """
    # Not len(): torch.export would take the number of rows for a constant.
    rows = torch.arange(present.shape[0], device=present.device)
    present_first = present.int().argsort(descending=True, stable=True)
    turn = (~present).cumsum(0) - 1
    return rows.where(present, present_first[turn % present.sum().clamp(min=1)])


def _check_name(name: str) -> None:
    """Refuse the names that a batch or an ``nn.ModuleDict`` cannot hold."""
    if not name or "." in name:
        raise ValueError(f"modality name '{name}' must not be empty or contain a dot")
    if name in RESERVED_KEYS or hasattr(nn.ModuleDict, name) or name == "training":
        raise ValueError(f"modality name '{name}' is taken; choose another, e.g. '{name}_input'")
