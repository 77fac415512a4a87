"""Two processes score as one does."""

import pytest
from lightning.pytorch.strategies import DDPStrategy

from cmkd.tasks import Retrieval
from tests.cmkd.setting import make_amid, make_data, make_trainer


def score(folder, ranks, gallery):
    strategy = DDPStrategy(start_method="spawn", process_group_backend="gloo")
    trainer = make_trainer(folder, devices=ranks, strategy=strategy if ranks > 1 else "auto")
    model = make_amid(task=Retrieval)
    # 31 clips of 3 windows: a sampler for two ranks repeats a window, and the ranks share clips.
    # Every fourth row lacks the auxiliary modality, all of them rows of the first rank.
    data = make_data(batch_size=8 // ranks, samples=31, windows=3, absent_every=4, gallery=gallery)
    evaluate = trainer.test if gallery else trainer.validate
    return evaluate(model, datamodule=data, verbose=False)[0]


@pytest.mark.slow
@pytest.mark.parametrize("gallery", [True, False])
def test_two_ranks_give_the_scores_of_one_process(tmp_path, gallery):
    one, two = score(tmp_path, 1, gallery), score(tmp_path, 2, gallery)
    roles = {"test/student"} if gallery else {f"val/{r}" for r in ("auxiliary", "student")}
    assert {f"{role}_recall_at_1" for role in roles} <= one.keys()
    assert one == two
