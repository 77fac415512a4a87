"""Prediction from whatever modalities are there: calibrated branches, weighted by confidence."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import LBFGS

from cmkd.batch import Batch
from cmkd.networks.modality_network import ModalityNetwork

#: Bound on the logarithm of a temperature: without a wrong sample it would go to minus infinity.
LOG_BOUND = math.log(100.0)


def fit_temperature(logits: Tensor, label: Tensor, steps: int = 100) -> float:
    """Return the temperature that divides logits to the smallest cross-entropy.

    On Calibration of Modern Neural Networks, Guo, Pleiss, Sun, Weinberger, ICML 2017. It is found
    by L-BFGS on its logarithm, which keeps it above 0.

    Args:
        logits: (N, C) of samples that the network did not learn from.
        label: (N,) int64, the true classes.
        steps: most iterations of L-BFGS.

    Returns:
        The temperature, between 1/100 and 100.

    Raises:
        ValueError: without samples.
    """
    if len(logits) == 0:
        raise ValueError("fitting a temperature needs at least one labelled sample")
    # The caller may be in inference mode, whose tensors have no gradient; their copies have.
    with torch.inference_mode(False), torch.enable_grad():
        z, y = logits.detach().clone().double(), label.clone()
        log_temperature = torch.zeros((), dtype=z.dtype, device=z.device, requires_grad=True)
        optimizer = LBFGS([log_temperature], max_iter=steps, line_search_fn="strong_wolfe")

        def evaluate() -> float:
            optimizer.zero_grad()
            loss = cross_entropy(z / _bounded(log_temperature), y)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        optimizer.step(evaluate)  # type: ignore[no-untyped-call]
        return float(_bounded(log_temperature).detach())


def _bounded(log_temperature: Tensor) -> Tensor:
    return log_temperature.clamp(-LOG_BOUND, LOG_BOUND).exp()


def confidence_weighted(logits: Tensor, valid: Tensor, temperatures: Tensor) -> Tensor:
    """Average the branches' calibrated predictions, each weighted by its highest probability.

    Beyond Unimodal Learning: The Importance of Integrating Multiple Modalities for Lifelong
    Learning, Sarfraz, Zonooz, Arani, CoLLAs 2024, arXiv 2405.02766.

    Args:
        logits: (M, B, C) of M branches; those of absent ones may be anything.
        valid: (M, B) bool, which branches have the sample.
        temperatures: (M,) above 0, of each branch.

    Returns:
        (B, C) probabilities; uniform for a sample that no branch has.
    """
    present = valid[..., None]
    scaled = logits.float().where(present, 0) / temperatures.float()[:, None, None]
    probabilities = scaled.softmax(dim=2)
    confidence = probabilities.amax(dim=2, keepdim=True).where(present, 0)
    # Without any branch the mean of their uniform predictions.
    confidence = confidence.where(valid.any(dim=0)[:, None], 1)
    return (confidence * probabilities).sum(dim=0) / confidence.sum(dim=0)


class CalibratedEnsemble(nn.Module):
    """Networks of different modalities that predict together, whichever of them can.

    A network takes part in a batch that holds all its modalities, with the rows that have any of
    them; so the student alone predicts where the auxiliary modality is missing. For the branches
    of SAMM, or any networks of a run::

        model = CrossModalDistillation.load_from_checkpoint("best.ckpt")
        ensemble = CalibratedEnsemble(dict(model.networks)).eval()
        ensemble.calibrate(data.val_dataloader())
        probabilities = ensemble(batch)

    The temperatures are part of the state dict.

    Args:
        networks: by role.

    Raises:
        ValueError: without networks, or where their numbers of logits differ.
    """

    temperatures: Tensor

    def __init__(self, networks: Mapping[str, ModalityNetwork]) -> None:
        super().__init__()
        outputs = {role: network.num_outputs for role, network in networks.items()}
        if len(set(outputs.values())) != 1:
            raise ValueError(
                "CalibratedEnsemble.networks must be one or more with the same classes, got "
                f"{outputs or 'none'}"
            )
        self.networks = nn.ModuleDict(networks)
        self.register_buffer("temperatures", torch.ones(len(networks)))

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Fit each network's temperature on labelled batches that it did not learn from.

        Runs the networks in eval mode and gives them back in the mode they had.

        Args:
            batches: with ``label``, on any device.

        Returns:
            The temperatures by role.

        Raises:
            ValueError: when a network has none of the samples.
        """
        training = self.training
        self.eval()
        kept: dict[str, list[tuple[Tensor, Tensor]]] = {role: [] for role in self.networks}
        for batch in batches:
            for role, (logits, valid) in self._branches(batch).items():
                kept[role].append((logits[valid], batch["label"].to(logits.device)[valid]))
        self.train(training)
        for number, (role, pairs) in enumerate(kept.items()):
            if not sum(len(label) for _, label in pairs):
                raise ValueError(
                    f"no batch has the modalities of the {role}, so it cannot be calibrated; "
                    "leave it out or give batches that have them"
                )
            logits, label = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            self.temperatures[number] = fit_temperature(logits, label)
        return dict(zip(self.networks, self.temperatures.tolist(), strict=True))

    def forward(self, batch: Batch) -> Tensor:
        """Return the (B, C) class probabilities; uniform for a sample without any modality.

        Raises:
            ValueError: when the batch holds the modalities of no network.
        """
        branches = self._branches(batch)
        if not branches:
            raise ValueError(
                "the batch holds the modalities of none of the networks "
                f"({', '.join(self.networks)})"
            )
        logits, valid = (torch.stack(parts) for parts in zip(*branches.values(), strict=True))
        numbers = [list(self.networks).index(role) for role in branches]
        return confidence_weighted(logits, valid, self.temperatures[numbers])

    def _branches(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return logits and valid rows of the networks whose modalities the batch holds."""
        found = {}
        for role, network in self.networks.items():
            assert isinstance(network, ModalityNetwork)  # noqa: S101 - for the type checker
            if all(name in batch for name in network.modalities):
                representation = network(_on(batch, self.temperatures.device))
                found[role] = (representation.logits, representation.valid)
        return found


def _on(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on a device."""
    return {
        key: _on(value, device) if isinstance(value, dict) else value.to(device)
        for key, value in batch.items()
    }
