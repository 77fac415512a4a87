"""What is computed from every recording once, before training."""

import torch
from torch import Tensor, nn

from datamodules.wav import Wave

_AT_ONCE = 256


def front_end_outputs(waves: Wave, front_end: nn.Module | None) -> Tensor:
    """Return (R, 1, ...) what a front end gives of recordings, or the recordings themselves.

    Args:
        waves: (R, L).
        front_end: takes (B, 1, L), a spectrogram for example; None: (R, 1, L) is returned.
    """
    sound = torch.from_numpy(waves[:, None])
    if front_end is None:
        return sound
    with torch.no_grad():
        return torch.cat([front_end.eval()(some) for some in torch.split(sound, _AT_ONCE)])
