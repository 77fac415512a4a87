"""The audio network and the spectrogram inside it."""

import math

import pytest
import torch

from cmkd.networks import AudioCNN

RATE = 8000


def tone(frequency, samples=RATE, amplitude=0.1):
    time = torch.arange(samples) / RATE
    return amplitude * torch.sin(2 * math.pi * frequency * time).view(1, 1, -1)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return AudioCNN(RATE, width=8)


def test_a_higher_tone_lights_a_higher_mel_band(encoder):
    bands = [encoder.log_mel(tone(hz)).mean(dim=3).argmax().item() for hz in (200, 800, 3000)]
    assert bands == sorted(set(bands))


def test_a_frame_every_hop(encoder):
    assert encoder.log_mel(tone(440)).shape == (1, 1, 64, 101)
    assert AudioCNN(RATE, n_mels=40, hop_ms=20).log_mel(tone(440)).shape == (1, 1, 40, 51)


def test_loudness_does_not_matter(encoder):
    noise = torch.randn(1, 1, RATE, generator=torch.Generator().manual_seed(0))
    loud, quiet = encoder.log_mel(noise), encoder.log_mel(0.1 * noise)
    torch.testing.assert_close(loud, quiet, atol=2e-2, rtol=0)


def test_every_clip_is_standardised_by_itself(encoder):
    clips = torch.cat([tone(440), torch.randn(1, 1, RATE), torch.zeros(1, 1, RATE)])
    log_mel = encoder.log_mel(clips)
    assert log_mel[:2].mean(dim=(1, 2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(log_mel[:2].std(dim=(1, 2, 3)), torch.ones(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(encoder.log_mel(clips[:1]), log_mel[:1])


def test_silence_stays_finite_and_so_do_its_gradients(encoder):
    silence = torch.zeros(2, 1, RATE, requires_grad=True)
    embedding = encoder(silence).embedding
    assert embedding.isfinite().all()
    embedding.sum().backward()
    assert silence.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_the_spectrogram_is_float32_under_autocast(encoder):
    expected = encoder.log_mel(tone(440))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        log_mel = encoder.log_mel(tone(440).bfloat16().float())
        half = encoder.log_mel(tone(440).bfloat16())
    assert log_mel.dtype == half.dtype == torch.float32
    torch.testing.assert_close(half, log_mel)
    assert (log_mel - expected).abs().mean() < 1


def test_one_window_is_enough_and_less_is_refused(encoder):
    assert encoder(tone(440, samples=200)).embedding.isfinite().all()
    with pytest.raises(ValueError, match=r"199 samples .* window of 200 \(at 8000 Hz\)"):
        encoder(tone(440, samples=199))


def test_masks_are_drawn_for_each_clip_in_training_only():
    torch.manual_seed(0)
    clips = tone(440).expand(6, 1, -1)
    plain = AudioCNN(RATE, width=8)
    masked = AudioCNN(RATE, width=8, freq_mask=30, time_mask=50)
    masked.load_state_dict(plain.state_dict())
    embedding = masked(clips).embedding
    assert len(embedding.unique(dim=0)) == 6
    torch.testing.assert_close(masked.eval()(clips).embedding, plain(clips).embedding)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_mels": 500}, "of n_mels=500 bands hold no frequency at 8000 Hz"),
        ({"hop_ms": 0.01}, "80 and 0|200 and 0"),
        ({"window_ms": 0}, "each must be at least 1"),
        ({"width": 12}, "multiple of 8"),
        ({"freq_mask": 64}, "below n_mels=64"),
        ({"time_mask": -1}, "not negative"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AudioCNN(RATE, **arguments)
