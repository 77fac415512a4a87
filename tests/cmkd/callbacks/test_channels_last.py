"""Weights with their channels last give the same networks."""

from functools import partial

import torch
from torch import nn

from cmkd.callbacks import ChannelsLast
from cmkd.networks import SmallImageNet, SmallVideoNet
from tests.cmkd.setting import kd_terms, make_model, make_trainer, weights
from tests.fake_data import FakeData

SHAPES = {"video": [3, 4, 16, 16], "picture": [1, 16, 16]}


def fit(folder, callbacks):
    model = make_model(
        student_modalities=["video"],
        auxiliary_modalities=["picture"],
        encoders={
            "video": partial(SmallVideoNet, width=8),
            "picture": partial(SmallImageNet, width=8),
        },
        optimizer=partial(torch.optim.SGD, lr=0.001),
        teacher_epochs=1,
        student_terms=kd_terms(),
    )
    data = FakeData(["video"], ["picture"], SHAPES, batch_size=4, samples=8)
    make_trainer(folder, 2, callbacks=callbacks, precision="64-true").fit(model, datamodule=data)
    return model


def test_both_stages_train_alike_and_keep_the_layout(tmp_path):
    usual, last = fit(tmp_path, []), fit(tmp_path, [ChannelsLast()])
    for name, value in weights(usual).items():
        torch.testing.assert_close(weights(last)[name], value, rtol=1e-9, atol=1e-9)
    layouts = {nn.Conv3d: torch.channels_last_3d, nn.Conv2d: torch.channels_last}
    for role in ("student", "teacher"):
        found = [m for m in last.networks[role].modules() if type(m) in layouts]
        assert len(found) >= 3
        for module in found:
            assert module.weight.is_contiguous(memory_format=layouts[type(module)])
