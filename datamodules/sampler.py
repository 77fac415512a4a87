"""The training sampler: its order, and the augmentation, follow from (seed, epoch, index) alone."""

import itertools
from collections.abc import Callable, Iterator, Sized
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from datamodules.class_balance import class_balanced_order

Item = TypeVar("Item")


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator for one sample's augmentation in one epoch.

    It depends on nothing else (worker, batch, global generators), so an epoch is the same with
    any number of workers and after a resume.
    """
    # Key 0 is the sampler's own: the order of an epoch and its first sample must not share draws.
    return np.random.default_rng((seed, epoch, index + 1))


class EpochSampler(DistributedSampler[int | tuple[int, int]]):
    """Shuffles a training set and yields ``(index, epoch)`` pairs, the same for the same epoch.

    Lightning calls ``set_epoch`` on it and, because it is a ``DistributedSampler``, leaves it
    alone under DDP. All ranks get equally many samples; what is missing is filled from the
    beginning of the epoch's order, and nothing is dropped. Where the last batch would hold a single
    sample, which BatchNorm and contrastive losses cannot use, one more is repeated. An epoch that
    was interrupted goes on behind its last batch.

    Args:
        dataset: the training set, read for its length only.
        batch_size: samples a batch and rank.
        num_replicas: number of ranks.
        rank: this process's rank.
        seed: seed of the order.
        balanced_labels: (N,) classes: each comes equally often in an epoch of N samples, rare ones
            repeatedly; None: every sample comes once.
        batches_done: tells how many batches of the epoch are done when an iteration begins; None
            for always from the beginning.
        augmented: False yields the index alone, for which a dataset gives the sample without
            augmentation.

    Raises:
        ValueError: when the dataset is empty, batch_size is below 1, or rank is out of range.
    """

    def __init__(
        self,
        dataset: Sized,
        batch_size: int,
        num_replicas: int = 1,
        rank: int = 0,
        seed: int = 0,
        balanced_labels: NDArray[np.int64] | None = None,
        batches_done: Callable[[], int] | None = None,
        augmented: bool = True,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError("EpochSampler: the dataset is empty")
        if batch_size < 1:
            raise ValueError(f"EpochSampler.batch_size: must be at least 1, got {batch_size}")
        super().__init__(
            cast("Dataset[int | tuple[int, int]]", dataset),
            num_replicas=num_replicas,
            rank=rank,
            seed=seed,
        )
        if batch_size > 1 and self.num_samples % batch_size == 1:
            self.num_samples += 1
        self.total_size = self.num_samples * self.num_replicas
        self._dataset_length = len(dataset)
        self._batch_size = batch_size
        self._batches_done = batches_done
        self._balanced_labels = balanced_labels
        self._augmented = augmented

    def __iter__(self) -> Iterator[int | tuple[int, int]]:
        rng = np.random.default_rng((self.seed, self.epoch, 0))
        if self._balanced_labels is None:
            order = rng.permutation(self._dataset_length)
        else:
            order = class_balanced_order(self._balanced_labels, self._dataset_length, rng)
        filled = itertools.islice(itertools.cycle(order.tolist()), self.total_size)
        mine = itertools.islice(filled, self.rank, None, self.num_replicas)
        done = 0 if self._batches_done is None else self._batches_done()
        for index in itertools.islice(mine, done * self._batch_size, None):
            yield (index, self.epoch) if self._augmented else index


class LazyLoader(DataLoader[Item]):
    """A loader whose iteration begins when the first batch is asked for.

    Lightning makes the iterator of a resumed run's first epoch before it tells the sampler which
    epoch it is, and workers would begin at once with the order of another.

    Args:
        dataset: as of ``DataLoader``.
        on_end: called when an iteration ends, early or not.
        **kwargs: as of ``DataLoader``.
    """

    def __init__(
        self, dataset: Dataset[Item], on_end: Callable[[], None] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(dataset, **kwargs)
        self._on_end = on_end

    def __iter__(self) -> Any:
        try:
            yield from super().__iter__()
        finally:
            if self._on_end is not None:
                self._on_end()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: that there is a state tells Lightning that an epoch can be resumed.

        What the sampler needs it asks of the trainer.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
