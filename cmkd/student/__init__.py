"""A trained student on its own: no teacher, no datamodule, no Lightning."""

from cmkd.student.loading import load_student
from cmkd.student.prediction import Failure, Prediction
from cmkd.student.saving import save_student
from cmkd.student.student import Student

__all__ = ["Failure", "Prediction", "Student", "load_student", "save_student"]
