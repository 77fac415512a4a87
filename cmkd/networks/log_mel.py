"""Log-mel spectrograms of waveforms."""

import math
import warnings

import torch
from torch import Tensor, nn

from cmkd.networks.shapes import require_shape

#: Added to the mel power in front of the logarithm: silence stays finite.
POWER_FLOOR = 1e-6


class LogMel(nn.Module):
    """The log-mel spectrogram of a waveform (B, 1, L), standardised clip by clip.

    (B, 1, n_mels, frames), zero mean and unit variance a clip, so that loudness does not matter;
    computed in float32 whatever the precision. It has no parameters: an encoder computes it in
    every step, and a datamodule that holds its recordings in memory may compute it once.

    Args:
        sample_rate: of the waveform, in Hz; it must be the datamodule's.
        n_mels: mel bands.
        window_ms: length of the analysis window, in milliseconds.
        hop_ms: step between windows, in milliseconds.

    Attributes:
        settings: the arguments but the sample rate, by name.

    Raises:
        ValueError: for a window or hop shorter than a sample, or more mel bands than the window
            can resolve.
    """

    def __init__(
        self, sample_rate: int, n_mels: int = 64, window_ms: float = 25.0, hop_ms: float = 10.0
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.settings = {"n_mels": n_mels, "window_ms": window_ms, "hop_ms": hop_ms}
        self.window = round(sample_rate * window_ms / 1000)
        self.spectrogram = _mel_spectrogram(
            sample_rate, n_mels, self.window, hop=round(sample_rate * hop_ms / 1000)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1, n_mels, frames) of waveforms (B, 1, L).

        Raises:
            ValueError: for another shape, or fewer samples than one analysis window.
        """
        require_shape("LogMel", x, B=None, C=1, L=None)
        if x.shape[2] < self.window:
            raise ValueError(
                f"LogMel: a waveform of {x.shape[2]} samples is shorter than one analysis "
                f"window of {self.window} (at {self.sample_rate} Hz); use longer clips or a "
                "smaller window_ms"
            )
        # Half precision has too few digits for squared magnitudes, and no FFT on a CPU.
        with torch.autocast(x.device.type, enabled=False):
            log_mel = (self.spectrogram(x.float()) + POWER_FLOOR).log()
            mean = log_mel.mean(dim=(2, 3), keepdim=True)
            std = log_mel.std(dim=(2, 3), keepdim=True, correction=0)
            standardised: Tensor = (log_mel - mean) / (std + 1e-5)
        return standardised


def _mel_spectrogram(sample_rate: int, n_mels: int, window: int, hop: int) -> nn.Module:
    from torchaudio.transforms import MelSpectrogram

    if window < 1 or hop < 1:
        raise ValueError(
            f"LogMel: window_ms and hop_ms give {window} and {hop} samples at {sample_rate} Hz; "
            "each must be at least 1"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty mel bands, which are an error below
        spectrogram: nn.Module = MelSpectrogram(
            sample_rate,
            # Twice the window, padded: the lowest mel bands are narrower than a bin otherwise.
            n_fft=2 ** math.ceil(math.log2(2 * window)),
            win_length=window,
            hop_length=hop,
            n_mels=n_mels,
            # Reflection needs a clip of half an FFT; zeros work from one window on.
            pad_mode="constant",
        )
    filters = spectrogram.get_buffer("mel_scale.fb")
    empty = int((filters.amax(dim=0) == 0).sum())
    if empty:
        raise ValueError(
            f"LogMel: {empty} of n_mels={n_mels} bands hold no frequency at {sample_rate} Hz "
            f"with a window of {window} samples; use fewer bands or a larger window_ms"
        )
    return spectrogram
