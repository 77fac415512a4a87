"""A student's network as a function of tensors alone, which can be written down as a graph."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim

from cmkd.batch import Batch
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.preprocessing import Shape
from cmkd.student import Student

#: The input that says which modalities a row has, of students with several.
PRESENT = "present"
_STEPS = 12


class StudentGraph(nn.Module):
    """From windows to predictions and embeddings, for rows of any number.

    Inputs: the tensor (B, ...) of each modality; then, of a student with several, ``present``
    (B, M) bool, which of them a row has (an absent one is zeros). Outputs: ``probabilities``
    (B, C), or ``value`` (B, 1) of a regression, and ``embedding`` (B, D). The sequences of one
    batch are of one length, without padding.

    Args:
        student: whose network it is.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.network: ModalityNetwork = student.network
        self.regression = student.task == "regression"
        self.modalities = student.modalities

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in their order."""
        return [*self.modalities, *([PRESENT] if len(self.modalities) > 1 else [])]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in their order."""
        return ["value" if self.regression else "probabilities", "embedding"]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and embeddings."""
        if len(self.modalities) == 1:
            seen = self.network({self.modalities[0]: inputs[0]})
            return self._outputs(seen.logits, seen.embedding)
        # As the network does, but rows that lack a modality keep their zeros: in eval mode no other
        # row sees them, and a graph has no use for copies of rows in their place.
        *values, present = inputs
        tokens = [
            self.network.projections[name](self.network.encoders[name](x, None).embedding)
            for name, x in zip(self.modalities, values, strict=True)
        ]
        fusion = self.network.fusion
        assert fusion is not None  # noqa: S101 - for the type checker
        embedding = fusion(torch.stack(tokens, dim=1), present)
        return self._outputs(self.network.head(embedding), embedding)

    def _outputs(self, logits: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        outputs = logits.float()
        return outputs if self.regression else outputs.softmax(dim=1), embedding.float()


def reference(student: Student, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what a graph of the student has to give for the same inputs.

    Args:
        student: the student.
        inputs: of its graph, on the CPU.
    """
    batch: Batch = dict(zip(student.modalities, inputs, strict=False))
    if len(student.modalities) > 1:
        batch[PRESENT] = dict(zip(student.modalities, inputs[-1].unbind(dim=1), strict=True))
    return student.outputs(batch)


def example(shapes: Mapping[str, Shape], rows: int, seed: int, steps: int = _STEPS) -> list[Tensor]:
    """Return inputs of a graph: noise, and every other row without one of several modalities.

    Args:
        shapes: of the modalities, in the order of the network.
        rows: how many, B.
        seed: of the noise.
        steps: length of the sequences.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = [
        torch.randn(rows, *(steps if size is None else size for size in shape), generator=generator)
        for shape in shapes.values()
    ]
    if len(shapes) > 1:
        present = torch.ones(rows, len(shapes), dtype=torch.bool)
        for row in range(1, rows, 2):
            lacking = row // 2 % len(shapes)
            present[row, lacking] = False
            inputs[lacking][row] = 0
        inputs.append(present)
    return inputs


def dynamic_shapes(shapes: Mapping[str, Shape]) -> tuple[dict[int, Dim], ...]:
    """Return which dimensions of a graph's inputs are free: rows, and steps of sequences."""
    rows = Dim("batch", min=1)
    free: list[dict[int, Dim]] = []
    for number, shape in enumerate(shapes.values()):
        steps = {1: Dim(steps_name(number), min=1)} if shape[0] is None else {}
        free.append({0: rows, **steps})
    return (*free, *([{0: rows}] if len(shapes) > 1 else []))


def steps_name(number: int) -> str:
    """Return what the steps of the modality with a number are called in a graph."""
    return f"steps_{number}"
