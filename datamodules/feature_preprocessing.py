"""From one sample's features to a student's inputs, as ``FeatureFolds`` reads its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from cmkd.preprocessing import Preprocessing, Shape, Value, read_tensor


@dataclass(frozen=True)
class FeaturePreprocessing(Preprocessing):
    """Standardises feature vectors (D,) and sequences (L, D) by the training part's statistics.

    Attributes:
        modalities: by modality, [D], or [null, D] of sequences.
        mean: by modality, (D,) float64; empty where nothing is standardised.
        std: by modality, (D,) float64.
        trimmed: the sequences that end where only all-zero frames follow.
        nan_rows_are_absent: features of nothing but NaN say that the modality is absent.
        zero_rows_are_absent: features of nothing but zeros say so.
        infinity_is_zero: infinite numbers are read as 0.
        front_padded: sequences begin at their first frame that is not all zeros.
    """

    modalities: Mapping[str, list[int | None]]
    mean: Mapping[str, Tensor] = field(default_factory=dict)
    std: Mapping[str, Tensor] = field(default_factory=dict)
    trimmed: list[str] = field(default_factory=list)
    nan_rows_are_absent: bool = False
    zero_rows_are_absent: bool = False
    infinity_is_zero: bool = False
    front_padded: bool = False

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Return the shape of each modality."""
        return {name: tuple(shape) for name, shape in self.modalities.items()}

    def windows(self, values: Mapping[str, Value]) -> dict[str, Tensor]:
        """Return the features as one window: (1, D), or (1, L, D) of a sequence.

        Args:
            values: by modality, (D,) or (L, D), as they stand in the file that was trained on:
                not standardised; a tensor, an array, or the path of an ``.npy`` file of one.

        Raises:
            ValueError: for another shape, or NaN or infinity that nothing says the meaning of.
        """
        windows = {}
        for name, value in values.items():
            features = self._prepared(read_tensor(value, name), name)
            if features is not None:
                windows[name] = features.unsqueeze(0)
        if not windows:
            raise ValueError(f"the sample has no {' or '.join(values)}: its features are empty")
        return windows

    def _prepared(self, features: Tensor, name: str) -> Tensor | None:
        """Return the features of a modality as a network sees them, None where it is absent."""
        shape = self.shapes[name]
        if features.ndim != len(shape) or features.shape[-1] != shape[-1] or not features.numel():
            expected = ", ".join("steps" if size is None else str(size) for size in shape)
            raise ValueError(
                f"modality '{name}': expected the features ({expected}) of one sample, got "
                f"{tuple(features.shape)}"
            )
        if self.nan_rows_are_absent and features.isnan().all():
            return None
        if self.zero_rows_are_absent and not features.any():
            return None
        if self.infinity_is_zero:
            features = features.where(~features.isinf(), features.new_zeros(()))
        if features.ndim == 2:
            features = self._cut(features, name)
        if not features.float().isfinite().all():
            raise ValueError(f"modality '{name}': there is NaN or infinity in it; repair it")
        if name not in self.mean:
            return features.float()
        # In double precision first, as in training.
        return ((features.double() - self.mean[name]) / self.std[name]).float()

    def _cut(self, features: Tensor, name: str) -> Tensor:
        """Return the valid frames of a sequence (L, D)."""
        filled = (features != 0).any(dim=1).nonzero().squeeze(1)
        first = int(filled[0]) if self.front_padded and len(filled) else 0
        if name not in self.trimmed:
            return features[first:]
        if not len(filled):
            raise ValueError(f"modality '{name}': the sequence holds nothing but zeros")
        return features[first : int(filled[-1]) + 1]
