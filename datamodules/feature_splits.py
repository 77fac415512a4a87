"""Who trains, who validates and who is tested in a feature file: by group, fold, word or suffix.

A group (a speaker, an actor, a recording) never stands in two parts where it is known.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from datamodules.feature_groups import Groups, Part, draw_groups, names_in_order
from datamodules.feature_source import FeatureSource
from datamodules.validation_cut import ValidationCut


@dataclass(frozen=True)
class Parts:
    """The three parts of a feature file."""

    train: Part
    val: Part
    test: Part


class FeatureSplit(ABC):
    """Divides a feature file. Subclass it for another rule."""

    @abstractmethod
    def parts(self, source: FeatureSource, label: str, seed: int) -> Parts:
        """Return who stands where.

        Args:
            source: the feature file.
            label: name of the label column, without suffix.
            seed: draws the validation part, where it is not given by the file.

        Raises:
            ValueError: for a part that is empty or a group in two parts.
        """


class GroupSplit(FeatureSplit):
    """Folds of groups: one fold is tested, some groups of the others validate.

    Args:
        group: column of the groups, one integer or string a sample.
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

    def parts(self, source: FeatureSource, label: str, seed: int) -> Parts:
        """Return the parts; see ``FeatureSplit.parts``."""
        groups = source.read_column(self.group, like=label).astype(str)
        listed = [group for groups in self.folds for group in groups]
        if homeless := _without(groups, listed):
            raise source.error(
                self.group, f"has groups in no fold: {', '.join(homeless)}. Add them to `folds`."
            )
        if unknown := _without(listed, groups):
            raise source.error(
                self.group,
                f"has no group {', '.join(unknown)}, which `folds` lists. It has "
                f"{', '.join(names_in_order(groups))}.",
            )
        in_test = np.isin(groups, self.folds[self.fold])
        train = np.flatnonzero(~in_test)
        is_val = draw_groups(groups[train], self.val_groups, seed)
        return _checked(
            source,
            Part("", train[~is_val]),
            Part("", train[is_val]),
            Part("", np.flatnonzero(in_test)),
            label,
        )


class FoldSplit(FeatureSplit):
    """A column of fold numbers or names: some folds are tested, some validate, the rest trains.

    Args:
        test: the folds to test on.
        val: the folds to validate on; None where a part of the others is cut.
        cut: how to cut a validation part from the other folds, exactly where ``val`` is None.
        column: the column of the folds, one integer or string a sample.
        group: where the file names groups, to check that none stands in two parts.

    Raises:
        ValueError: for ``val`` and ``cut`` both or neither given, or a fold in both lists.
    """

    def __init__(
        self,
        test: list[int | str],
        val: list[int | str] | None = None,
        cut: ValidationCut | None = None,
        column: str = "fold",
        group: Groups | None = None,
    ) -> None:
        if (val is None) == (cut is None):
            raise ValueError(
                "FoldSplit: give either `val`, the folds to validate on, or `cut`, which cuts a "
                "validation part from the other folds"
            )
        self.test = [str(fold) for fold in test]
        self.val = [str(fold) for fold in val or []]
        if both := sorted(set(self.test) & set(self.val)):
            raise ValueError(f"FoldSplit: fold {', '.join(both)} stands in `test` and in `val`")
        self.cut = cut
        self.column = column
        self.group = group

    def parts(self, source: FeatureSource, label: str, seed: int) -> Parts:
        """Return the parts; see ``FeatureSplit.parts``."""
        folds = source.read_column(self.column, like=label).astype(str)
        if unknown := _without(self.test + self.val, folds):
            raise source.error(
                self.column,
                f"has no fold {', '.join(unknown)}. It has {', '.join(names_in_order(folds))}.",
            )
        in_test, in_val = np.isin(folds, self.test), np.isin(folds, self.val)
        train, val, test = (
            Part("", np.flatnonzero(rows)) for rows in (~in_test & ~in_val, in_val, in_test)
        )
        if self.cut is not None:
            train, val = self.cut.cut(source, label, seed, train, test)
        return _checked(source, train, val, test, label, self.group)


class ArraySplit(FeatureSplit):
    """One column says "train", "val" or "test" of every sample.

    Args:
        array: its name.
        cut: how to cut a validation part where the column marks none.
        group: where the file names groups, to check that none stands in two parts.
    """

    def __init__(
        self,
        array: str = "split",
        cut: ValidationCut | None = None,
        group: Groups | None = None,
    ) -> None:
        self.array = array
        self.cut = cut
        self.group = group

    def parts(self, source: FeatureSource, label: str, seed: int) -> Parts:
        """Return the parts; see ``FeatureSplit.parts``."""
        words = source.read_column(self.array, like=label).astype(str)
        if unknown := _without(words, ["train", "val", "test"]):
            raise source.error(
                self.array, f"says {', '.join(unknown)}, which is none of train, val, test."
            )
        train, val, test = (
            Part("", np.flatnonzero(words == word)) for word in ("train", "val", "test")
        )
        if self.cut is not None:
            if val.rows.size:
                raise source.error(self.array, "marks a val part. Leave out `cut`.")
            train, val = self.cut.cut(source, label, seed, train, test)
        elif not val.rows.size:
            raise source.error(
                self.array, "marks no val part. Say how to `cut` one from the training part."
            )
        return _checked(source, train, val, test, label, self.group)


class SuffixSplit(FeatureSplit):
    """Each part has its own arrays, whose names end in the part's suffix: ``text_train``.

    Args:
        train: suffix of the training arrays.
        test: suffix of the test arrays.
        val: suffix of the validation arrays; None where there are none.
        cut: how to cut a validation part from the training part, exactly where ``val`` is None.
        group: where the file names groups, to check that none stands in two parts.

    Raises:
        ValueError: for ``val`` and ``cut`` both or neither given, or a suffix given twice.
    """

    def __init__(
        self,
        train: str = "_train",
        test: str = "_test",
        val: str | None = None,
        cut: ValidationCut | None = None,
        group: Groups | None = None,
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
        self.group = group

    def parts(self, source: FeatureSource, label: str, seed: int) -> Parts:
        """Return the parts; see ``FeatureSplit.parts``."""
        train = self._whole(source, label, self.train)
        test = self._whole(source, label, self.test)
        if self.cut is not None:
            train, val = self.cut.cut(source, label, seed, train, test)
        else:
            val = self._whole(source, label, str(self.val))
        return _checked(source, train, val, test, label, self.group)

    def _whole(self, source: FeatureSource, label: str, suffix: str) -> Part:
        return Part(suffix, np.arange(source.rows(label + suffix), dtype=np.int64))


def _without(values: Iterable[str], known: Iterable[str]) -> list[str]:
    known = set(known)
    return [value for value in names_in_order(values) if value not in known]


def _checked(
    source: FeatureSource,
    train: Part,
    val: Part,
    test: Part,
    label: str,
    group: Groups | None = None,
) -> Parts:
    parts = {"training": train, "validation": val, "test": test}
    for name, part in parts.items():
        if not part.rows.size:
            raise ValueError(
                f"{source.path}: the {name} part is empty. Change the arguments of the split."
            )
    if group is not None:
        group.check_apart(source, label, parts)
    return Parts(train, val, test)
