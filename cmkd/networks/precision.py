"""Where mixed precision must not be used."""

import torch


def float32_video_on_cpu() -> torch.autocast:
    """Return a context that keeps the 3-D convolutions within it out of a CPU's autocast.

    torch 2.11's bfloat16 kernels on a CPU (oneDNN, AVX-512) give garbage, often infinite, as the
    weight gradient of a convolution with a kernel of 3 over exactly 2 frames, which is what the
    last stage of an 18-layer video ResNet sees of 16 frames. GPUs are not touched.
    """
    return torch.autocast("cpu", enabled=False)
