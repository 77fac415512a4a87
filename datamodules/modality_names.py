"""The modalities that a datamodule is asked for, against what its data offers."""

from collections.abc import Sequence

from cmkd.batch import RESERVED_KEYS


def check_modalities(
    student: Sequence[str], auxiliary: Sequence[str], offered: Sequence[str], owner: str
) -> None:
    """Check the two modality sets against each other and against what the data offers.

    Args:
        student: what the student sees, in training and at test.
        auxiliary: what exists in training only; may be empty, for a student alone.
        offered: what the data has.
        owner: whose argument it is, for the message.

    Raises:
        ValueError: for a student without modalities, a name given twice, unknown or reserved, or
            overlapping sets.
    """
    reserved = RESERVED_KEYS.intersection(offered)
    if reserved:
        raise ValueError(
            f"{owner}: {', '.join(sorted(reserved))} is a key of the batch and cannot be a "
            "modality's name; rename it in the data"
        )
    if not student:
        raise ValueError(
            f"{owner}.student_modalities is empty: name at least one of {', '.join(offered)}"
        )
    for argument, names in (("student_modalities", student), ("auxiliary_modalities", auxiliary)):
        if len(set(names)) != len(names):
            raise ValueError(f"{owner}.{argument} names a modality twice: {', '.join(names)}")
        unknown = [name for name in names if name not in offered]
        if unknown:
            raise ValueError(
                f"{owner}.{argument}: there is no modality {', '.join(map(repr, unknown))}; "
                f"this data has {', '.join(offered)}"
            )
    both = [name for name in student if name in auxiliary]
    if both:
        raise ValueError(
            f"{owner}: {', '.join(map(repr, both))} stands in student_modalities and in "
            "auxiliary_modalities; the auxiliary modalities are those that the student never sees"
        )
