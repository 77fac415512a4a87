"""Audio encoder: waveform in, log-mel spectrogram inside."""

from itertools import pairwise

from torch import Tensor, nn

from cmkd.networks.base import Encoder, Features
from cmkd.networks.log_mel import LogMel


class AudioCNN(Encoder):
    """A 2-D convolutional network on the log-mel spectrogram of a waveform (B, 1, L).

    The spectrogram is computed inside, by :class:`LogMel`. Four stages of convolution, GroupNorm
    and ReLU halve frequency and time; the embedding is the mean over frequency, then mean plus
    maximum over time (Kong et al., "PANNs", IEEE/ACM TASLP 2020). Hidden: the maps (B, channels,
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
        self.log_mel = LogMel(sample_rate, n_mels, window_ms, hop_ms)
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
