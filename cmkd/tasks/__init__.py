"""Tasks: loss, metrics and what to monitor."""

from cmkd.tasks.base import Task, TaskFactory
from cmkd.tasks.classification import Classification
from cmkd.tasks.regression import Regression
from cmkd.tasks.retrieval import Retrieval

__all__ = ["Classification", "Regression", "Retrieval", "Task", "TaskFactory"]
