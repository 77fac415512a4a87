"""Who trains, who validates and who is tested in a feature file: by group, by array, by suffix.

A group (a speaker, an actor, a recording) never stands in two parts where it is known.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.npz import ArrayFile
from datamodules.validation_cut import Part, ValidationCut, draw_groups, names_in_order


@dataclass(frozen=True)
class Parts:
    """The three parts of a feature file."""

    train: Part
    val: Part
    test: Part


class FeatureSplit(ABC):
    """Divides a feature file. Subclass it for another rule."""

    @abstractmethod
    def parts(self, file: ArrayFile, label: str, seed: int) -> Parts:
        """Return who stands where.

        Args:
            file: the feature file.
            label: name of the label array, without suffix.
            seed: draws the validation part, where it is not given by the file.

        Raises:
            ValueError: for a part that is empty or a group in two parts.
        """


class GroupSplit(FeatureSplit):
    """Folds of groups: one fold is tested, some groups of the others validate.

    Args:
        group: array of the groups, one integer or string a sample.
        folds: the groups of each fold; every group of the file stands in exactly one.
        fold: the fold to test on, from 0.
        val_groups: groups drawn from the other folds to validate on: how many, or a fraction.

    Raises:
        ValueError: for a group on two folds, a fold out of range, val_groups of nothing.
    """

    def __init__(
        self,
        group: str,
        folds: list[list[int | str]],
        fold: int = 0,
        val_groups: int | float = 0.2,
    ) -> None:
        if not 0 <= fold < len(folds):
            raise ValueError(
                f"GroupSplit.fold: there is no fold {fold}; `folds` lists {len(folds)}, from 0"
            )
        names = [str(group) for groups in folds for group in groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"GroupSplit.folds: group {', '.join(twice)} is listed more than once; a group "
                "belongs to one fold"
            )
        if val_groups <= 0 or (isinstance(val_groups, float) and val_groups >= 1):
            raise ValueError(
                f"GroupSplit.val_groups: {val_groups} is neither a number of groups (1, 2, ...) "
                "nor a fraction of them between 0 and 1"
            )
        self.group = group
        self.folds = [[str(group) for group in groups] for groups in folds]
        self.fold = fold
        self.val_groups = val_groups

    def parts(self, file: ArrayFile, label: str, seed: int) -> Parts:
        """Return the parts; see ``FeatureSplit.parts``."""
        groups = file.read_column(self.group, like=label).astype(str)
        listed = [group for groups in self.folds for group in groups]
        if homeless := _without(groups, listed):
            raise file.error(
                self.group, f"has groups in no fold: {', '.join(homeless)}. Add them to `folds`."
            )
        if unknown := _without(listed, groups):
            raise file.error(
                self.group,
                f"has no group {', '.join(unknown)}, which `folds` lists. It has "
                f"{', '.join(names_in_order(groups))}.",
            )
        in_test = np.isin(groups, self.folds[self.fold])
        train = np.flatnonzero(~in_test)
        is_val = draw_groups(groups[train], self.val_groups, seed)
        return _checked(
            file,
            Part("", train[~is_val]),
            Part("", train[is_val]),
            Part("", np.flatnonzero(in_test)),
        )


class ArraySplit(FeatureSplit):
    """One array says "train", "val" or "test" of every sample.

    Args:
        array: its name.
        cut: how to cut a validation part where the array marks none.
    """

    def __init__(self, array: str = "split", cut: ValidationCut | None = None) -> None:
        self.array = array
        self.cut = cut

    def parts(self, file: ArrayFile, label: str, seed: int) -> Parts:
        """Return the parts; see ``FeatureSplit.parts``."""
        words = file.read_column(self.array, like=label).astype(str)
        if unknown := _without(words, ["train", "val", "test"]):
            raise file.error(
                self.array, f"says {', '.join(unknown)}, which is none of train, val, test."
            )
        train, val, test = (
            Part("", np.flatnonzero(words == word)) for word in ("train", "val", "test")
        )
        if self.cut is not None:
            if val.rows.size:
                raise file.error(self.array, "marks a val part. Leave out `cut`.")
            train, val = self.cut.cut(file, label, seed, train, test)
        elif not val.rows.size:
            raise file.error(
                self.array, "marks no val part. Say how to `cut` one from the training part."
            )
        return _checked(file, train, val, test)


class SuffixSplit(FeatureSplit):
    """Each part has its own arrays, whose names end in the part's suffix: ``text_train``.

    Args:
        train: suffix of the training arrays.
        test: suffix of the test arrays.
        val: suffix of the validation arrays; None where there are none.
        cut: how to cut a validation part from the training part, exactly where ``val`` is None.

    Raises:
        ValueError: for ``val`` and ``cut`` both or neither given, or a suffix given twice.
    """

    def __init__(
        self,
        train: str = "_train",
        test: str = "_test",
        val: str | None = None,
        cut: ValidationCut | None = None,
    ) -> None:
        if (val is None) == (cut is None):
            raise ValueError(
                "SuffixSplit: give either `val`, the suffix of the validation arrays, or `cut`, "
                "which cuts a validation part from the training part"
            )
        if len({train, test, val}) < 3:
            raise ValueError(
                f"SuffixSplit: the parts' suffixes have to differ, got {train}, {test}, {val}"
            )
        self.train = train
        self.test = test
        self.val = val
        self.cut = cut

    def parts(self, file: ArrayFile, label: str, seed: int) -> Parts:
        """Return the parts; see ``FeatureSplit.parts``."""
        train = self._whole(file, label, self.train)
        test = self._whole(file, label, self.test)
        if self.cut is not None:
            train, val = self.cut.cut(file, label, seed, train, test)
        else:
            val = self._whole(file, label, str(self.val))
        return _checked(file, train, val, test)

    def _whole(self, file: ArrayFile, label: str, suffix: str) -> Part:
        return Part(suffix, np.arange(len(file.read_column(label + suffix)), dtype=np.int64))


def _without(values: Iterable[str], known: Iterable[str]) -> list[str]:
    known = set(known)
    return [value for value in names_in_order(values) if value not in known]


def _checked(file: ArrayFile, train: Part, val: Part, test: Part) -> Parts:
    parts: Sequence[tuple[str, Part]] = (("training", train), ("validation", val), ("test", test))
    for name, part in parts:
        if not part.rows.size:
            raise ValueError(
                f"{file.path}: the {name} part is empty. Change the arguments of the split."
            )
    return Parts(train, val, test)
