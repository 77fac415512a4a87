"""What callbacks collect on several ranks is what one process collects."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Callback

from cmkd.callbacks import Dashboard, WeakTeacherAlarm
from cmkd.callbacks.row_sample import RowSample
from tests.cmkd.ddp.launch import gloo, on_ranks
from tests.cmkd.setting import make_amid, make_data, make_trainer


class Kept(Callback):
    """Takes down what was collected; it stands behind the others."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard, self.data = dashboard, []

    def on_validation_end(self, trainer, pl_module):
        self.data += [epoch.data for epoch in self.dashboard._pending.values()][-1:]


def collect(folder: Path, ranks: int) -> dict[str, Any]:
    dashboard, alarm = Dashboard(samples=20, time_share=0.0), WeakTeacherAlarm(samples=60)
    # Rank zero would draw the last epoch.
    dashboard.on_train_end = lambda *_: None
    kept = Kept(dashboard)
    strategy = gloo(find_unused_parameters=False) if ranks > 1 else "auto"
    trainer = make_trainer(
        folder, 2, callbacks=[dashboard, alarm, kept], devices=ranks, strategy=strategy
    )
    # 31 clips of 3 windows: the sampler repeats windows, and ranks share clips.
    data = make_data(batch_size=4, samples=31, windows=3)
    trainer.fit(make_amid(optimizer=_standing), datamodule=data)
    found: dict[str, Any] = {"alarm": alarm.state_dict()["history"]}
    if trainer.is_global_zero:
        last = kept.data[-1]
        found |= {"counts": last.counts, "index": last.index, "label": last.label}
        found |= {f"of {role}": rows for role, rows in last.embeddings.items()}
    return found


def _standing(parameters):
    """Leave the networks as they are: ranks train on other batches than one process."""
    return torch.optim.SGD(parameters, lr=0.0)


@pytest.mark.slow
def test_figures_and_alarm_of_ranks_are_those_of_one_process(tmp_path):
    one = collect(tmp_path, 1)
    first, second = on_ranks(collect, 2, tmp_path)
    assert one["counts"].sum() == 31
    assert len(one["index"]) == 6  # whole clips of three windows: of 20 rows no more
    for name in ("counts", "index", "label"):
        assert torch.equal(first[name], one[name])
    for role in ("teacher", "student"):
        torch.testing.assert_close(first[f"of {role}"], one[f"of {role}"])
    # Metrics of the training steps differ, the share does not.
    shares = [found["alarm"]["teacher"][-1]["beyond_student"] for found in (one, first, second)]
    assert shares[0] > 0
    assert shares == pytest.approx([shares[0]] * 3)


def pool(folder: Path, ranks: int) -> dict[str, Any]:
    dist.init_process_group("gloo", world_size=ranks)
    index = torch.arange(4) * ranks + dist.get_rank()
    rows = {"index": index, "window": torch.zeros(4, dtype=torch.long)}
    # As a set of names would give them: in another order in every process.
    names = ["teacher", "student"][:: 1 if dist.get_rank() == 0 else -1]
    rows |= {name: index + (100 if name == "teacher" else 200) for name in names}
    sample = RowSample(20)
    sample.add(rows)
    found = sample.pop()
    dist.barrier()  # gloo aborts where one rank leaves while another still waits
    dist.destroy_process_group()
    return found


@pytest.mark.slow
def test_rows_of_ranks_stay_with_their_names_in_whatever_order_these_are_given(tmp_path):
    for found in on_ranks(pool, 2, tmp_path):
        assert sorted(found["index"].tolist()) == list(range(8))
        assert torch.equal(found["teacher"], found["index"] + 100)
        assert torch.equal(found["student"], found["index"] + 200)
