"""Two correlated Gaussians: what teacher and student share is known in closed form."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cmkd.representation import Representation, Sizes


@dataclass(frozen=True)
class GaussianPair:
    """Standard normal S and T of which each coordinate of one is correlated with that of the other.

    Attributes:
        dim: number of coordinates, d, independent of each other.
        information: I(T;S) in nats.
    """

    dim: int
    information: float

    @property
    def correlation(self) -> float:
        """Return rho of each coordinate, from I(T;S) = -d/2 log(1 - rho^2)."""
        return math.sqrt(-math.expm1(-2 * self.information / self.dim))

    @property
    def conditional_entropy(self) -> float:
        """Return the differential entropy H(T|S) = d/2 log(2 pi e (1 - rho^2)) in nats."""
        entropy = self.dim / 2 * math.log(2 * math.pi * math.e)
        return entropy - self.information

    def draw(self, rows: int) -> tuple[Tensor, Tensor]:
        """Draw S and T, (rows, d) each, from torch's generator."""
        source, noise = torch.randn(2, rows, self.dim)
        rho = self.correlation
        return source, rho * source + math.sqrt(1 - rho**2) * noise

    def sizes(self) -> dict[str, Sizes]:
        """Return the widths of the two networks that there are not."""
        return dict.fromkeys(("student", "teacher"), Sizes(embedding=self.dim, logits=1))


def representations(source: Tensor, target: Tensor) -> dict[str, Representation]:
    """Return the samples themselves as the embeddings of student and teacher."""
    return {
        role: Representation(
            embedding=x,
            logits=x.new_zeros(len(x), 1),
            hidden={},
            valid=torch.ones(len(x), dtype=torch.bool),
        )
        for role, x in (("student", source), ("teacher", target))
    }
