"""Ridge regression in closed form, its penalty chosen by leaving one out."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Penalties that are tried, in units of the mean eigenvalue of the inputs' covariance.
_PENALTIES = tuple(10.0 ** (power / 2) for power in range(-12, 9))


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression; everything in float64.

    Hoerl & Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
    Technometrics 1970. The penalty is the one with the smallest leave-one-out error, which has a
    closed form (Allen, "The Relationship between Variable Selection and Data Augmentation and a
    Method for Prediction", Technometrics 1974).

    Attributes:
        weight: (D, K).
        bias: (K,).
        penalty: the chosen one, added to the squared singular values of the centred inputs.
        residual: (N, K), what each row's target has beyond the prediction of a regression that was
            fitted without this row.
    """

    weight: Tensor
    bias: Tensor
    penalty: float
    residual: Tensor

    @classmethod
    def fit(cls, x: Tensor, y: Tensor) -> "Ridge":
        """Fit y (N, K) by x (N, D).

        Raises:
            ValueError: when x and y have not the same three rows or more, or hold NaN or infinity.
        """
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 3:
            raise ValueError(
                "a ridge regression needs x (N, D) and y (N, K) of at least three rows, got "
                f"{tuple(x.shape)} and {tuple(y.shape)}"
            )
        x, y = x.double(), y.double()
        if not (x.isfinite().all() and y.isfinite().all()):
            raise ValueError("a ridge regression needs finite numbers, got NaN or infinity")
        mean_x, mean_y = x.mean(0), y.mean(0)
        left, singular, right = torch.linalg.svd(x - mean_x, full_matrices=False)
        projected = left.T @ (y - mean_y)
        # A constant input has no scale; any penalty leaves it without weight.
        scale = float(singular.square().mean()) or 1.0
        best: tuple[float, float, Tensor] | None = None
        for factor in _PENALTIES:
            shrunk = singular.square() / (singular.square() + factor * scale)
            # The centred fit's leverage, and that of the mean.
            leverage = left.square() @ shrunk + 1 / len(x)
            fitted = left @ (shrunk[:, None] * projected)
            residual = (y - mean_y - fitted) / (1 - leverage).clamp(min=1e-9)[:, None]
            error = float(residual.square().sum())
            if best is None or error < best[0]:
                best = (error, factor * scale, residual)
        assert best is not None  # noqa: S101 - there are penalties
        _, penalty, residual = best
        gain = singular / (singular.square() + penalty)
        weight = right.T @ (gain[:, None] * projected)
        return cls(weight, mean_y - mean_x @ weight, penalty, residual)

    def predict(self, x: Tensor) -> Tensor:
        """Return the prediction (N, K) for x (N, D)."""
        return x.double() @ self.weight + self.bias


def r_squared(prediction: Tensor, target: Tensor) -> float:
    """Return the share of the targets' variance that is predicted, pooled over the K targets.

    1 is everything; 0 is what their mean says; below 0 is worse than that.

    Args:
        prediction: (N, K).
        target: (N, K).

    Raises:
        ValueError: for targets that do not vary.
    """
    total = (target - target.mean(0)).square().sum()
    if not total > 0:
        raise ValueError("r_squared: the targets do not vary, so there is nothing to predict")
    return float(1 - (target - prediction).square().sum() / total)
