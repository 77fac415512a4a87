"""Objectives that keep a memory, copy a head or train both networks, in whole runs."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy

from cmkd import Term
from cmkd.objectives import C2KD, CCL, CRD, MFH, InfoNCE, SimKD
from cmkd.stages import StageConfig
from tests.cmkd.setting import (
    assert_same,
    changed,
    make_data,
    make_model,
    make_trainer,
    weights,
)

QUEUE = partial(InfoNCE, dim=8, queue_size=24)
#: The student's stage of each scheme.
STAGES = {
    "infonce_queue": {"terms": {"term": Term(QUEUE, 0.1)}},
    "crd": {"terms": {"term": Term(partial(CRD, dim=8, negatives=16), 0.8)}},
    "ccl": {"terms": {"term": Term(CCL)}},
    "c2kd": {"trains": ["student", "teacher"], "terms": {"term": Term(C2KD)}},
    "simkd": {
        "terms": {"term": Term(SimKD)},
        "frozen": ["student.head"],
        "task_weights": {"student": 0.0},
    },
    "mfh": {"terms": {"term": Term(partial(MFH, keep=0.5))}},
}


def make(method, **overrides):
    stages = {
        "teacher": StageConfig(["teacher", "auxiliary"], share=1.0),
        "student": StageConfig(**({"trains": ["student"]} | STAGES[method])),
    }
    return make_model(stages=stages, **overrides)


class Epochs(Callback):
    """Keeps the weights after each epoch."""

    def __init__(self):
        self.after = []

    def on_train_epoch_end(self, trainer, module):
        self.after.append(weights(module))


def fit(method, folder, max_epochs=5, ckpt_path=None, **overrides):
    model, epochs = make(method, **overrides), Epochs()
    trainer = make_trainer(folder, max_epochs, callbacks=[epochs])
    trainer.fit(model, datamodule=make_data(), ckpt_path=ckpt_path)
    trainer.save_checkpoint(folder / f"{max_epochs}.ckpt")
    return model, epochs.after


@pytest.mark.parametrize("method", STAGES)
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, method):
    whole, _ = fit(method, tmp_path / "whole", dropout=0.2)
    fit(method, tmp_path / "cut", max_epochs=4, dropout=0.2)
    checkpoint = tmp_path / "cut" / "4.ckpt"
    resumed, _ = fit(method, tmp_path / "cut", ckpt_path=checkpoint, dropout=0.2)
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize(
    ("method", "buffers"),
    [
        ("infonce_queue", {"queue.source", "queue.target", "queue.sample", "queue.oldest"}),
        ("crd", {"bank.source", "bank.target", "log_normaliser"}),
        ("mfh", {"saliency", "weight"}),
    ],
)
def test_a_memory_is_made_for_the_data_filled_in_its_stage_and_saved(tmp_path, method, buffers):
    _, after = fit(method, tmp_path, max_epochs=3)
    saved = torch.load(tmp_path / "3.ckpt", weights_only=True)["state_dict"]
    prefix = "stage_terms.student.objectives.term."
    assert {f"{prefix}{name}" for name in buffers} <= saved.keys()
    moved = {name.removeprefix(prefix) for name in changed(after[1], after[2])}
    assert buffers <= moved
    if method == "crd":
        assert saved[f"{prefix}bank.source"].shape == (32, 8)


def test_simkds_student_predicts_by_the_teachers_head_and_trains_nothing_of_it(tmp_path):
    model, after = fit("simkd", tmp_path)
    for name in ("weight", "bias"):
        head = [after[-1][f"networks.{r}.head.1.{name}"] for r in ("student", "teacher")]
        assert torch.equal(*head)
    assert changed(after[2], after[4]) >= {"networks.student.projections.face.1.weight"}
    data = make_data()
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    model.eval()
    student = model(batch)
    teacher = model.network("teacher")
    torch.testing.assert_close(student.logits, teacher.head(student.embedding))


def test_c2kds_teacher_goes_on_learning_in_the_students_stage(tmp_path):
    _, after = fit("c2kd", tmp_path)
    names = {name.split(".")[1] for name in changed(after[2], after[4]) if "networks." in name}
    assert names == {"student", "teacher"}


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in STAGES if name != "crd"])
def test_two_ranks_end_with_the_weights_of_one_process(tmp_path, method):
    # Not CRD, each rank of which draws negatives of its own.
    states = []
    for ranks in (1, 2):
        model = make(method, optimizer=partial(torch.optim.SGD, lr=0.05))
        strategy = DDPStrategy(start_method="spawn", process_group_backend="gloo")
        strategy = strategy if ranks > 1 else "auto"
        trainer = make_trainer(
            tmp_path, 4, devices=ranks, strategy=strategy, num_sanity_val_steps=0
        )
        trainer.fit(model, datamodule=make_data(batch_size=8 // ranks))
        # The rows of a batch stand in another order in the queue.
        states.append({n: x for n, x in weights(model).items() if ".queue." not in n})
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-5, msg=name)


class SameBank(Callback):
    """Fails, in the process of a rank, unless both ranks hold one bank of visited entries."""

    def on_fit_end(self, trainer, module):
        bank = module.stage_terms["student"].objectives["term"].bank
        # Of length 1, which no entry is made with.
        torch.testing.assert_close(bank.source.norm(dim=1), torch.ones(32))
        banks = [torch.empty_like(bank.source) for _ in range(2)]
        torch.distributed.all_gather(banks, bank.source)
        assert torch.equal(*banks)


@pytest.mark.slow
def test_crds_bank_is_the_same_on_two_ranks_after_a_run(tmp_path):
    strategy = DDPStrategy(start_method="spawn", process_group_backend="gloo")
    arguments = {"devices": 2, "strategy": strategy, "num_sanity_val_steps": 0}
    trainer = make_trainer(tmp_path, 4, callbacks=[SameBank()], **arguments)
    trainer.fit(make("crd"), datamodule=make_data(batch_size=4))
