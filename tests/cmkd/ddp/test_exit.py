"""How the process of a rank ends."""

import time
from functools import partial

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from cmkd.objectives.blocked_logits import in_blocks_of_rows


def _rest(future):
    """Keep a thread of Gloo's in Python, as one that lets go of a tensor is, only longer."""
    time.sleep(0.2)


def _begin(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)


def _reduce_at_the_end(rank):
    if rank == 0:
        # The other rank's process is ending when this one joins in.
        time.sleep(0.3)
    dist.all_reduce(torch.ones(10), async_op=True).get_future().then(_rest)
    if rank == 0:
        time.sleep(2)


def _end_a_run(rank, folder):
    # Not above: Lightning imports at once all that the other test has imported late.
    from tests.cmkd.setting import make_model

    _begin(rank, folder)
    make_model().teardown("fit")
    _reduce_at_the_end(rank)


def _end_a_loop_of_ones_own(rank, folder):
    _begin(rank, folder)
    x = torch.ones(4, 2, requires_grad=True)
    in_blocks_of_rows(lambda rows: rows.sum(1), [x], candidates=4, max_logits=4).sum().backward()
    _reduce_at_the_end(rank)
    dist.destroy_process_group()


def _exit_codes(work, folder):
    spawn = mp.get_context("spawn")
    ranks = [spawn.Process(target=partial(work, rank, str(folder))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
    return [process.exitcode for process in ranks]


def test_a_rank_whose_last_reduction_is_under_way_ends_without_an_abort(tmp_path):
    # Without `teardown` it ends by SIGABRT: Gloo's thread asks for an interpreter that is gone.
    assert _exit_codes(_end_a_run, tmp_path) == [0, 0]


def test_a_loop_that_takes_down_its_group_ends_without_an_abort(tmp_path):
    # Torch's checkpointing imports, late, a module that would hold the group for good.
    assert _exit_codes(_end_a_loop_of_ones_own, tmp_path) == [0, 0]
