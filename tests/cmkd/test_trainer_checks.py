"""Precision, strategies and compilation: what works, and what is refused with the remedy."""

from functools import partial

import pytest
import torch
from lightning.pytorch.strategies import (
    DDPStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
)

from cmkd.trainer_checks import check_precision, check_strategy
from tests.cmkd.setting import make_amid, make_data, make_trainer, weights


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "transformer-engine-float16"])
def test_fp16_is_refused_because_of_its_scaler_and_of_clipping(precision):
    with pytest.raises(ValueError, match=rf"{precision}.*gradient_clip_norm would.*'bf16-mixed'"):
        check_precision(precision)


def test_fp16_is_refused_before_anything_is_trained(tmp_path):
    trainer, model = make_trainer(tmp_path), make_amid(gradient_clip_norm=1.0)
    trainer.precision_plugin.precision = "16-mixed"
    with pytest.raises(ValueError, match=r"16-mixed.*bf16-mixed"):
        trainer.fit(model, datamodule=make_data())
    assert trainer.global_step == 0


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_other_precisions_are_taken(precision):
    check_precision(precision)


@pytest.mark.parametrize("strategy", [FSDPStrategy, ModelParallelStrategy])
def test_strategies_that_shard_networks_are_refused(strategy):
    with pytest.raises(ValueError, match=rf"{strategy.__name__} is not supported.*use 'ddp'"):
        check_strategy(strategy())


def test_ddp_and_a_single_device_are_taken():
    check_strategy(DDPStrategy(find_unused_parameters=True))
    check_strategy(SingleDeviceStrategy("cpu"))


def fit(folder, model, max_epochs=4, **arguments):
    trainer = make_trainer(folder, max_epochs)
    trainer.fit(model, datamodule=make_data(), **arguments)
    return trainer


def amid(compiled):
    model = make_amid(optimizer=partial(torch.optim.SGD, lr=0.05))
    if compiled:
        for network in model.networks.values():
            # Traces and differentiates as the default backend does, without a C++ compiler.
            network.compile(backend="aot_eager")
    return model


@pytest.mark.slow
def test_networks_compiled_in_place_train_both_stages_as_the_others_do_and_resume(tmp_path):
    plain, compiled, resumed = amid(False), amid(True), amid(True)
    fit(tmp_path, plain)
    torch._dynamo.utils.counters.clear()
    fit(tmp_path, compiled, 3).save_checkpoint(tmp_path / "3.ckpt")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    fit(tmp_path, resumed, ckpt_path=tmp_path / "3.ckpt")
    # The names of the parameters too.
    torch.testing.assert_close(weights(resumed), weights(plain), rtol=1e-4, atol=1e-6)


def test_a_network_wrapped_by_the_compiler_is_refused(tmp_path):
    model = make_amid()
    model.networks["student"].head = torch.compile(model.networks["student"].head)
    with pytest.raises(ValueError, match=r"'networks\.student\.head' was wrapped.*\.compile\(\)"):
        fit(tmp_path, model)


def test_a_compiled_module_is_refused(tmp_path):
    model = torch.compile(make_amid())
    with pytest.raises(ValueError, match=r"the whole LightningModule is compiled.*\.compile\(\)"):
        make_trainer(tmp_path).fit(model, datamodule=make_data())
