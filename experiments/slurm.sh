#!/usr/bin/env bash
# A training on a SLURM cluster, four GPUs unless sbatch is told otherwise:
#
#     sbatch --job-name ucf51_amid experiments/slurm.sh \
#         --config experiments/ucf51/base.yaml --config experiments/methods/amid.yaml --data.init_args.root /data/UCF-101
#
# The same line again goes on from the last checkpoint, in the same folder (runs/<job name>) and the
# same W&B run; one that is finished ends at once. `--array 1-5%1` submits it five times, each
# beginning when the one before has ended. Without SLURM the same training is
#
#     torchrun --nproc-per-node 4 -m cmkd fit --run.dir runs/ucf51_amid --run.resume true \
#         --trainer.devices 4 --trainer.strategy ddp --config ...
#
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
# Before the time limit every process is told to stop and writes last.ckpt.
#SBATCH --signal=TERM@300

set -euo pipefail

# A task that fails ends the others, on all nodes.
srun --kill-on-bad-exit=1 python -m cmkd fit \
    --run.dir "runs/$SLURM_JOB_NAME" --run.resume true \
    --trainer.num_nodes "$SLURM_NNODES" --trainer.devices "$SLURM_NTASKS_PER_NODE" \
    --trainer.strategy ddp "$@"
