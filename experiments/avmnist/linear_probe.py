"""What a linear classifier reads from AV-MNIST: pixels, log-mel energies, both; six folds.

Multinomial logistic regression, its weight decay chosen by the validation part of each fold.

    python experiments/avmnist/linear_probe.py
"""

from pathlib import Path
from statistics import fmean

import torch
import yaml
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from cmkd.networks import LogMel
from datamodules.avmnist import AVMNIST
from datamodules.base import Split

CONFIG = Path(__file__).with_name("base.yaml")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)
VIEWS = {"image": ["image"], "audio": ["audio"], "image + audio": ["image", "audio"]}


def features(data: AVMNIST, split: Split, audio: LogMel) -> dict[str, Tensor]:
    """Return (N, D) features of both modalities and (N,) labels."""
    rows = data.dataset(split)
    batch = rows.__getitems__(range(len(rows)))
    with torch.no_grad():
        # 32 mel bands in ten steps of time: a linear classifier needs a fixed length.
        log_mel = adaptive_avg_pool2d(audio(batch["audio"]), (32, 10))
    return {
        "image": batch["image"].flatten(1),
        "audio": log_mel.flatten(1),
        "label": batch["label"],
    }


def fit(x: Tensor, y: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Return the weights (D, 10) and bias (10,) of a logistic regression."""
    weight = torch.zeros(x.shape[1], 10, requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(x @ weight + bias, y) + decay * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()


def probe(parts: dict[Split, dict[str, Tensor]], names: list[str]) -> float:
    """Return the test accuracy in % at the weight decay that validates best."""
    views = {split: torch.cat([part[name] for name in names], 1) for split, part in parts.items()}
    mean, std = views["train"].mean(dim=0), views["train"].std(dim=0).clamp(min=1e-3)
    views = {split: (view - mean) / std for split, view in views.items()}
    scored = []
    for decay in DECAYS:
        weight, bias = fit(views["train"], parts["train"]["label"], decay)
        right = {
            split: (views[split] @ weight + bias).argmax(dim=1) == parts[split]["label"]
            for split in views
        }
        scored.append([100 * right[split].float().mean().item() for split in ("val", "test")])
    return max(scored, key=lambda accuracies: accuracies[0])[1]


def main() -> None:
    """Print the mean over folds."""
    torch.set_num_threads(1)
    arguments = yaml.safe_load(CONFIG.read_text())["data"]["init_args"]
    audio = LogMel(sample_rate=8_000, n_mels=32, hop_ms=20)
    scores: dict[str, list[float]] = {view: [] for view in VIEWS}
    for fold in range(6):
        data = AVMNIST(
            **(arguments | {"fold": fold}),
            student_modalities=["image"],
            auxiliary_modalities=["audio"],
            auxiliary_at_test=True,
        )
        parts = {split: features(data, split, audio) for split in SPLITS}
        for view, names in VIEWS.items():
            scores[view].append(probe(parts, names))
    for view, values in scores.items():
        print(f"{view}: {fmean(values):.1f} ({', '.join(f'{v:.1f}' for v in values)})")


if __name__ == "__main__":
    main()
