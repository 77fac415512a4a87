"""Stands in for ``srun``: starts the tasks of a job on this machine and hands signals on."""

import itertools
import os
import signal
import subprocess
import sys

# srun's own options come first.
command = list(itertools.dropwhile(lambda word: word.startswith("-"), sys.argv[1:]))
tasks = [
    subprocess.Popen(
        command,
        env=os.environ | {"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n), "SLURM_NODEID": "0"},
    )
    for n in range(int(os.environ["SLURM_NTASKS"]))
]
signal.signal(signal.SIGTERM, lambda number, frame: [t.send_signal(number) for t in tasks])
sys.exit(max(task.wait() for task in tasks))
