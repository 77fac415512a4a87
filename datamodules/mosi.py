"""CMU-MOSI and CMU-MOSEI: sentiment of video segments, from their feature files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datamodules.feature_arrays import Reading
from datamodules.feature_folds import FeatureFolds
from datamodules.feature_groups import Groups
from datamodules.feature_source import Array
from datamodules.feature_splits import SuffixSplit
from datamodules.npz import ArrayFile
from datamodules.targets import PolarityTarget, Target
from datamodules.validation_cut import ValidationCut

#: Turns the pickled dictionaries in which the features are passed around into an ``.npz`` file.
CONVERT = (
    'python -c "import pickle, numpy as np; '
    "d = pickle.load(open('aligned_50.pkl', 'rb')); "
    "np.savez('aligned_50.npz', **{f'{k}_{part}': np.array(list(v)) "
    'for part, arrays in d.items() for k, v in arrays.items()})"'
)

#: The video in ``video_3``, ``video$_$3`` or ``video[3]``; its own name may end in ``_3`` as well.
_VIDEO = r"^(.+?)(?:\$_\$|_|\[)\d+\]?$"
_LABELS = ("regression_labels", "labels", "y")
_VISUAL = ("vision", "video", "visual")
_VALIDATION = ("_valid", "_val", "_dev")


class SegmentFile(ArrayFile):
    """An ``.npz`` file of video segments, whose columns may have the shapes (N, 1) or (N, 1, 1).

    Args:
        path: the file.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: the file is a pickle, or otherwise no ``.npz`` archive.
    """

    def __init__(self, path: str) -> None:
        if Path(path).is_file() and _is_pickle(path):
            raise ValueError(
                f"{path}: a pickle, which could run code and is not opened here. If you trust its "
                f"source, convert it once where it lies:\n{CONVERT}"
            )
        super().__init__(path)

    def stored_column(self, name: str) -> Array:
        """Return a column; of (N, 3) segment names (video, start, end) the video."""
        column = self.read(name)
        while column.ndim > 1 and column.shape[-1] == 1:
            column = column[..., 0]
        return column[:, 0] if column.ndim == 2 and column.dtype.kind in "US" else column

    def first_of(self, names: Iterable[str]) -> str | None:
        """Return the first name that the file has, None if it has none of them."""
        return next((name for name in names if name in self.names), None)


class MOSI(FeatureFolds):
    """CMU-MOSI or CMU-MOSEI: what is said, how it sounds and looks, and its sentiment in [-3, 3].

    Reads an ``.npz`` file with an array for each part, ``text_train``, ``audio_train``, ...,
    ``text_test``: the keys of the public files (``aligned_50.pkl`` and the like), flattened; the
    error for a pickle says how. Needed are the features, the segments' names (``id``) and the
    label. Where the file has a validation part (``_valid``) it is used, otherwise one is cut from
    the training part; no video stands in two parts.

    As in those files, infinite numbers count as 0, and a segment that has nothing but zeros lacks
    the modality: it is masked, in the metrics of a student that sees nothing else too. How many
    there are is said when the file is read. Frames of zeros before a sequence are removed.

    After Zadeh, Zellers, Pincus & Morency, "MOSI: Multimodal Corpus of Sentiment Intensity and
    Subjectivity Analysis in Online Opinion Videos", 2016, and Bagher Zadeh et al., "Multimodal
    Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable Dynamic Fusion Graph", ACL
    2018.

    Args:
        file: the ``.npz`` file. It is never unpickled.
        student_modalities: of ``text``, ``audio`` and ``video``, what the student sees.
        auxiliary_modalities: what only the teacher sees, in training.
        target: what is learnt: ``PolarityTarget`` (the default; negative or not, or without the
            zeros), ``RoundedTarget`` (seven classes) or ``RealTarget`` (the value itself).
        arrays: array by modality, without the part; None: ``text``, ``audio``, and ``vision``
            or ``video``, as far as they are there.
        label: array of the labels; None: ``regression_labels``, ``labels`` or ``y``.
        val_fraction: share of the training videos to validate on, where the file has no
            validation part.
        standardise: give every feature zero mean and unit variance over the training part.
        **kwargs: of ``CrossModalDataModule``.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: for a pickle, or anything in the file that does not fit.
    """

    def __init__(
        self,
        file: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        target: Target | None = None,
        arrays: dict[str, str] | None = None,
        label: str | None = None,
        val_fraction: float = 0.15,
        standardise: bool = True,
        **kwargs: Any,
    ) -> None:
        source = SegmentFile(file)
        label = label or _label(source)
        arrays = arrays or _arrays(source)
        super().__init__(
            file,
            arrays,
            label,
            _split(source, label, val_fraction),
            student_modalities,
            auxiliary_modalities,
            lengths={
                name: f"{array}_lengths"
                for name, array in arrays.items()
                if f"{array}_lengths_train" in source.names
            },
            target=target or PolarityTarget(),
            standardise=standardise,
            reading=Reading(zero_rows_are_absent=True, infinity_is_zero=True, front_padded=True),
            **kwargs,
        )

    def open(self, file: str) -> SegmentFile:
        """Return the file of segments."""
        return SegmentFile(file)


def _is_pickle(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(1) == b"\x80"


def _label(source: SegmentFile) -> str:
    found = source.first_of(f"{name}_train" for name in _LABELS)
    if found is None:
        raise ValueError(
            f"{source.path}: none of the labels {', '.join(_LABELS)} with _train behind it is "
            f"there. The file has {', '.join(source.names)}; name the array in `label`."
        )
    return found.removesuffix("_train")


def _arrays(source: SegmentFile) -> dict[str, str]:
    known = {"text": ("text",), "audio": ("audio",), "video": _VISUAL}
    found = {
        modality: source.first_of(f"{name}_train" for name in names)
        for modality, names in known.items()
    }
    return {name: array.removesuffix("_train") for name, array in found.items() if array}


def _split(source: SegmentFile, label: str, val_fraction: float) -> SuffixSplit:
    # Segments named by (video, start, end) have the video in a column of its own.
    pattern = None if source.read("id_train").shape[1:] == (3,) else _VIDEO
    part = source.first_of(f"{label}{suffix}" for suffix in _VALIDATION)
    return SuffixSplit(
        val=None if part is None else part.removeprefix(label),
        cut=ValidationCut(val_fraction, "id", pattern) if part is None else None,
        group=Groups("id", pattern),
    )
