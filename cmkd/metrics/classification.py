"""Scores of single-label classification."""

import torch
from torch import Tensor


def classification_metrics(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return the accuracies of the field, all in [0, 1].

    ``accuracy`` is top-1 (emotion recognition calls it weighted accuracy). ``unweighted_accuracy``
    is the mean recall over the classes among the targets. ``macro_f1`` is the mean F1 over the
    classes among the targets or the predictions. ``top5_accuracy`` comes with more than five
    classes.

    Args:
        prediction: (N, C) scores, the highest is predicted; of equal ones the first.
        target: (N,) int64 in 0..C-1.
    """
    classes = prediction.shape[1]
    guess = prediction.argmax(1)
    hit = guess == target
    support = torch.bincount(target, minlength=classes).float()
    guessed = torch.bincount(guess, minlength=classes).float()
    hits = torch.bincount(target[hit], minlength=classes).float()
    recall = hits / support
    f1 = 2 * hits / (support + guessed)
    values = {
        "accuracy": hit.float().mean(),
        "unweighted_accuracy": recall[support > 0].mean(),
        "macro_f1": f1[support + guessed > 0].mean(),
    }
    if classes > 5:
        top5 = prediction.topk(5, dim=1).indices
        values["top5_accuracy"] = (top5 == target[:, None]).any(1).float().mean()
    return values
