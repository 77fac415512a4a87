"""Cross-modal knowledge distillation in PyTorch Lightning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmkd.distillation import CrossModalDistillation
    from cmkd.student import Student, load_student
    from cmkd.terms import Term

__version__ = "0.2.0"
__all__ = ["CrossModalDistillation", "Student", "Term", "__version__", "load_student"]

_HOMES = {
    "CrossModalDistillation": "cmkd.distillation",
    "Student": "cmkd.student",
    "Term": "cmkd.terms",
    "load_student": "cmkd.student",
}


def __getattr__(name: str) -> Any:
    """Import the module behind a name on first use: ``import cmkd`` alone loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cmkd' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
