"""Audio encoder: waveform in, log-mel spectrogram inside."""

import math
import warnings
from itertools import pairwise

import torch
from torch import Tensor, nn

from cmkd.networks.base import Encoder, Features
from cmkd.networks.shapes import require_shape

#: Added to the mel power in front of the logarithm: silence stays finite.
POWER_FLOOR = 1e-6


class AudioCNN(Encoder):
    """A 2-D convolutional network on the log-mel spectrogram of a waveform (B, 1, L).

    The spectrogram is computed inside, in float32 whatever the precision, and standardised clip
    by clip, so that loudness does not matter. Four stages of convolution, GroupNorm and ReLU
    halve frequency and time; the embedding is the mean over frequency, then mean plus maximum
    over time (Kong et al., "PANNs", IEEE/ACM TASLP 2020). Hidden: the maps (B, channels,
    frequency, time) of the stages. No BatchNorm: a batch of one works.

    Args:
        sample_rate: of the waveform, in Hz; it must be the datamodule's.
        n_mels: mel bands.
        window_ms: length of the analysis window, in milliseconds.
        hop_ms: step between windows, in milliseconds.
        width: channels of the first stage, a multiple of 8; the others have 2, 4 and 8 times as
            many, and the last is the width of the embedding.
        freq_mask: SpecAugment in training (Park et al., Interspeech 2019): up to this many
            neighbouring mel bands of a clip are masked; 0 for none.
        time_mask: the same for neighbouring frames, one every hop_ms.

    Raises:
        ValueError: for a window or hop shorter than a sample, more mel bands than the window
            can resolve, a mask wider than the spectrogram, or a width that is no multiple of 8.
    """

    def __init__(
        self,
        sample_rate: int,
        n_mels: int = 64,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        width: int = 32,
        freq_mask: int = 0,
        time_mask: int = 0,
    ) -> None:
        super().__init__()
        from torchaudio.transforms import FrequencyMasking, TimeMasking

        if width < 8 or width % 8:
            raise ValueError(f"AudioCNN.width must be a multiple of 8, got {width}")
        if freq_mask not in range(n_mels) or time_mask < 0:
            raise ValueError(
                f"AudioCNN.freq_mask must be from 0 to below n_mels={n_mels} and time_mask not "
                f"negative, got {freq_mask} and {time_mask}"
            )
        self.sample_rate = sample_rate
        self.window = round(sample_rate * window_ms / 1000)
        self.spectrogram = _mel_spectrogram(
            sample_rate, n_mels, self.window, hop=round(sample_rate * hop_ms / 1000)
        )
        self.augment = nn.Sequential()
        if freq_mask:
            self.augment.append(FrequencyMasking(freq_mask, iid_masks=True))
        if time_mask:
            self.augment.append(TimeMasking(time_mask, iid_masks=True))
        self.hidden_features = [width, 2 * width, 4 * width, 8 * width]
        self.out_features = self.hidden_features[-1]
        widths = [1, *self.hidden_features]
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inner, outer, 3, stride=2, padding=1, bias=False),
                nn.GroupNorm(4, outer),
                nn.ReLU(),
            )
            for inner, outer in pairwise(widths)
        )

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode waveforms (B, 1, L).

        Raises:
            ValueError: for another shape, or fewer samples than one analysis window.
        """
        x = self.log_mel(x)
        if self.training:
            x = self.augment(x)
        hidden = []
        for stage in self.stages:
            x = stage(x)
            hidden.append(x)
        steps = x.mean(dim=2)
        return Features(embedding=steps.mean(dim=2) + steps.amax(dim=2), hidden=hidden)

    def log_mel(self, x: Tensor) -> Tensor:
        """Return (B, 1, n_mels, frames), zero mean and unit variance a clip, of x (B, 1, L)."""
        require_shape("AudioCNN", x, B=None, C=1, L=None)
        if x.shape[2] < self.window:
            raise ValueError(
                f"AudioCNN: a waveform of {x.shape[2]} samples is shorter than one analysis "
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
            f"AudioCNN: window_ms and hop_ms give {window} and {hop} samples at {sample_rate} Hz; "
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
            f"AudioCNN: {empty} of n_mels={n_mels} bands hold no frequency at {sample_rate} Hz "
            f"with a window of {window} samples; use fewer bands or a larger window_ms"
        )
    return spectrogram
