"""Names of what is logged, such that Weights & Biases groups its panels without any set-up.

W&B makes a section of what stands before a name's first slash. The training log has everything
under ``train/``, which files like ``metrics.csv`` keep; here it is divided:

======================= =========================================================================
section                 holds
======================= =========================================================================
``stage``               ``epoch`` and the ``number`` of the stage, from 0
``val``, ``test``       the metrics of teacher, auxiliary model and student
``train``               their task losses and metrics on training batches
``term``                each term's loss, and what else it logs
``information``         the bounds on mutual information and their ceilings log N, in nats
``conditional_entropy`` the bounds on H(T|S), in nats
``discriminator``       accuracy and loss of each discriminator
``gradient_norm``       by network, and of all together before clipping
``lr``                  the learning rate of each optimizer
``throughput``          samples a second, and the share of the time spent waiting for a batch
``figures``             confusion matrix, embedding map and so on
======================= =========================================================================
"""

from collections.abc import Collection, Mapping
from typing import TypeVar

Value = TypeVar("Value")

_NAMED = {
    "epoch": "stage/epoch",
    "train/learning_rate": "lr/networks",
    "train/critic_learning_rate": "lr/critics",
    "train/gradient_norm": "gradient_norm/all",
}
_BY_SUFFIX = {
    "_bound": "information",
    "_ceiling": "information",
    "_nats": "conditional_entropy",
    "_critic_loss": "discriminator",
}


def on_panels(values: Mapping[str, Value], roles: Collection[str]) -> dict[str, Value]:
    """Return the same values under the names that the dashboard has for them.

    Args:
        values: by the name they are logged under, all of one step together: a term's ``accuracy``
            is a discriminator's where its ``critic_loss`` is logged beside it.
        roles: names of the networks; what is logged of one stays in ``train``.
    """
    return {_panel(name, values, roles): value for name, value in values.items()}


def _panel(name: str, beside: Collection[str], roles: Collection[str]) -> str:
    section, _, rest = name.partition("/")
    if name in _NAMED:
        return _NAMED[name]
    if section != "train" or rest.startswith(tuple(f"{role}_" for role in roles)):
        return name
    for suffix, group in _BY_SUFFIX.items():
        if rest.endswith(suffix):
            return f"{group}/{rest}"
    if rest.endswith("_accuracy") and f"{name.removesuffix('_accuracy')}_critic_loss" in beside:
        return f"discriminator/{rest}"
    return f"term/{rest}"
