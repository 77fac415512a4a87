"""Tasks: loss, metrics and what to monitor."""

from cmkd.tasks.base import Task, TaskFactory
from cmkd.tasks.classification import Classification

__all__ = ["Classification", "Task", "TaskFactory"]
