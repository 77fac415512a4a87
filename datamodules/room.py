"""A simulated room: what a microphone far from the speaker hears."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from datamodules.digit_recordings import Takes
from datamodules.noise import recording_rng
from datamodules.wav import Wave

_AT_ONCE = 256  # recordings a convolution, to bound its memory


@dataclass(frozen=True)
class Room:
    """Rooms as the direct sound and a tail of noise that decays by 60 dB in the time RT60.

    After J. A. Moorer, "About This Reverberation Business", Computer Music Journal 3(2), 1979, who
    found exponentially decaying noise to sound like the tail of a concert hall, and J.-D. Polack,
    "La transmission de l'énergie sonore dans les salles", 1988.

    Args:
        rt60: shortest and longest reverberation time in seconds; each recording has its own.
        direct_db: energy of the direct sound over that of the tail, in dB.

    Raises:
        ValueError: for times that are no range above 0.
    """

    rt60: tuple[float, float] = (0.2, 0.8)
    direct_db: float = 0.0

    def __post_init__(self) -> None:
        shortest, longest = self.rt60
        if not 0 < shortest <= longest:
            raise ValueError(
                f"rt60: give the shortest and the longest time in seconds, got {shortest} and "
                f"{longest}"
            )

    def response(self, rng: np.random.Generator, samples: int, sample_rate: int) -> Wave:
        """Draw the impulse response of a room.

        Returns:
            (samples,) of unit energy, the direct sound first.
        """
        time = np.arange(1, samples) / sample_rate
        decay = np.exp(-np.log(1e3) * time / rng.uniform(*self.rt60))
        tail = rng.standard_normal(samples - 1) * decay
        response = np.empty(samples, dtype=np.float32)
        response[0] = 10 ** (self.direct_db / 20)
        response[1:] = tail / max(np.linalg.norm(tail), 1e-12)
        return response / np.linalg.norm(response)

    def reverberate(self, takes: Takes, sample_rate: int, seed: int) -> Takes:
        """Return recordings as they sound in rooms of their own, each fixed by name and seed.

        They keep their length: what of the tail goes beyond is cut off.
        """
        from torchaudio.functional import fftconvolve

        heard = np.empty_like(takes.waves)
        samples = heard.shape[1]
        for begin in range(0, len(heard), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            responses = np.stack(
                [
                    self.response(recording_rng(path, seed, purpose=1), samples, sample_rate)
                    for path in takes.recordings.paths[part]
                ]
            )
            waves = torch.from_numpy(takes.waves[part])
            heard[part] = fftconvolve(waves, torch.from_numpy(responses))[:, :samples].numpy()
        return replace(takes, waves=heard)
