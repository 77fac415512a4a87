"""How the process of a rank ends."""

import time
from functools import partial

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.cmkd.setting import make_model


def _rest(future):
    """Keep a thread of Gloo's in Python, as one that lets go of a tensor is, only longer."""
    time.sleep(0.2)


def _end_a_run(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    make_model().teardown("fit")
    if rank == 0:
        # The other rank's process is ending when this one joins in.
        time.sleep(0.3)
    dist.all_reduce(torch.ones(10), async_op=True).get_future().then(_rest)
    if rank == 0:
        time.sleep(2)


def test_a_rank_whose_last_reduction_is_under_way_ends_without_an_abort(tmp_path):
    # Without `teardown` it ends by SIGABRT: Gloo's thread asks for an interpreter that is gone.
    spawn = mp.get_context("spawn")
    ranks = [spawn.Process(target=partial(_end_a_run, rank, str(tmp_path))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
    assert [process.exitcode for process in ranks] == [0, 0]
