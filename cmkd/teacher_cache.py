"""What frozen networks give for each training sample, computed once."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from cmkd.batch import Batch, batch_window
from cmkd.fingerprint import describe, fingerprint
from cmkd.lazy_hidden import CachedRepresentation, LazyHidden
from cmkd.representation import Representation
from cmkd.row_file import RowFile

#: Folder of the caches in that of the run.
FOLDER = "teacher_cache"
_ALWAYS = ("embedding", "logits", "valid")


class TeacherCache:
    """Outputs of frozen networks by sample number and window, in memory-mapped files.

    A network is run on the rows that are not there yet. Embedding, logits and validity are kept;
    of the hidden layers those of a modality that an objective reads, from when it first does, but
    not those of padded sequences, which are computed anew.
    The result is that of running the network on each batch, bit for bit where its kernels round a
    row alike in every batch; some do not in batches of fewer than five rows, nor where padded
    sequences are padded to the length of another batch.

    The files stand in a folder named by the network's fingerprint (structure, settings, weights,
    precision, and the datamodule's arguments and labels), so that what another teacher gave is
    never read. Files that are exchanged under the same path are not noticed. The processes of one
    machine share a folder; every machine has its own, since file systems over a network do not
    keep mapped files alike. A run that goes on after an interruption goes on with its cache; of a
    finished run the folder may be deleted.

    Args:
        trainer: of the run; gives the folder, the data and the precision.

    Raises:
        ValueError: when the training samples are not the same in every epoch, or their number is
            not known.
    """

    def __init__(self, trainer: Trainer) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not getattr(data, "is_deterministic", False):
            raise ValueError(
                "model.cache_teacher needs training samples that are the same in every epoch, but "
                f"those of {type(data).__name__} are augmented, or it does not say: set "
                "data.init_args.augment to false, or model.cache_teacher to false (a datamodule of "
                "your own says so by an attribute is_deterministic = True)"
            )
        self._samples = int(getattr(data, "train_samples", 0))
        if self._samples < 1:
            raise ValueError(
                "model.cache_teacher needs the number of training samples; give the datamodule a "
                "'train_samples'"
            )
        # Rank 0's: a folder named by the time may differ between processes.
        root = Path(trainer.strategy.broadcast(trainer.default_root_dir))
        self.folder = root / FOLDER / f"node-{trainer.node_rank}"
        self._origin = (describe(data), str(trainer.precision))
        self._files: dict[tuple[str, str], _Files] = {}
        rank_zero_info(f"outputs of frozen networks are kept in '{self.folder}'")

    def represent(self, stage: str, role: str, batch: Batch, network: nn.Module) -> Representation:
        """Return what a frozen network gives for a batch, without gradient.

        Args:
            stage: the stage's name; its networks stay as they are until it ends.
            role: the network's, or that of a subset of its modalities.
            batch: the batch as the network is given it.
            network: in eval mode.
        """
        rows = self._rows(batch)
        first: Representation | None = None
        if (stage, role) not in self._files:
            # Shapes and types are known from the first batch of a process.
            first = network(batch)
            folder = self.folder / f"{role}-{fingerprint(network, *self._origin)[:16]}"
            self._files[stage, role] = _Files(folder, self._samples, first)
        return self._files[stage, role].represent(rows, batch, network, first)

    def _rows(self, batch: Batch) -> Tensor:
        """Return the (B,) places of a batch's rows in the files."""
        index: Tensor = batch["index"].cpu()
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < self._samples:
            raise ValueError(
                f"the batch's 'index' goes from {int(index.min())} to {int(index.max())}, but "
                f"there are {self._samples} training samples; the datamodule has to number them "
                "from 0 and to give their number as 'train_samples'"
            )
        return batch_window(batch).cpu() * self._samples + index


class _Files:
    """The files of one network's outputs.

    Args:
        folder: made when it is not there.
        samples: number of training samples.
        like: a representation, for widths and types.
    """

    def __init__(self, folder: Path, samples: int, like: Representation) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._samples = samples
        self._layers = {name: len(layers) for name, layers in like.hidden.items()}
        self._read: set[str] = set()
        self._fields: dict[str, RowFile] = {}
        self._add({name: getattr(like, name) for name in _ALWAYS})

    def _add(self, values: Mapping[str, Tensor]) -> None:
        for field, value in values.items():
            shape, dtype = tuple(value.shape[1:]), value.dtype
            kind = "-".join([str(dtype).removeprefix("torch."), *map(str, shape)])
            self._fields[field] = RowFile(self._folder / f"{field}-{kind}", shape, dtype)

    def represent(
        self,
        rows: Tensor,
        given: Batch,
        network: Callable[[Batch], Representation],
        whole: Representation | None,
    ) -> Representation:
        """Read the rows of a batch, and compute those that are missing.

        Args:
            rows: (B,) places in the files.
            given: the batch.
            network: computes representations.
            whole: that of the batch, where it is known.
        """
        device = given["index"].device
        values, there = self._look_up(rows)
        if not there.all():
            missing = ~there
            if whole is None and missing.all():
                whole = network(given)
            if whole is None:
                computed = self._values(network(rows_of(given, missing.to(device))))
            else:
                computed = {n: v[missing] for n, v in self._values(whole).items()}
            for field, value in computed.items():
                values[field][missing] = value
                self._fields[field].write(rows[missing], value)
        on_device = {field: value.to(device) for field, value in values.items()}
        known = {name: self._of_modality(name, on_device) for name in self._read}

        def read(name: str) -> list[Tensor]:
            layers = (network(given) if whole is None else whole).hidden[name]
            # Those of padded sequences have another length in every batch.
            if name not in given.get("length", {}):
                self._begin_layers(name, layers, rows)
            return layers

        return CachedRepresentation(
            embedding=on_device["embedding"],
            logits=on_device["logits"],
            valid=on_device["valid"],
            hidden=LazyHidden(self._layers, known, read),
        )

    def _look_up(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the values by field, and the (B,) bool of the rows that have all of them."""
        windows = int(rows.max()) // self._samples + 1 if len(rows) else 1
        values, there = {}, torch.ones(len(rows), dtype=torch.bool)
        for field, file in self._fields.items():
            file.reserve(windows * self._samples)
            values[field], found = file.read(rows)
            there &= found
        return values, there

    def _values(self, computed: Representation) -> dict[str, Tensor]:
        """Return what is kept of a representation, on the CPU."""
        values = {name: getattr(computed, name) for name in _ALWAYS}
        for name in self._read:
            values |= _named(name, computed.hidden[name])
        return {field: value.detach().cpu() for field, value in values.items()}

    def _begin_layers(self, name: str, layers: list[Tensor], rows: Tensor) -> None:
        """From now on keep the layers of a modality; those of one batch are known."""
        self._read.add(name)
        self._add(_named(name, layers))
        _, there = self._look_up(rows)
        for field, value in _named(name, layers).items():
            self._fields[field].write(rows[~there], value.detach().cpu()[~there])

    def _of_modality(self, name: str, values: Mapping[str, Tensor]) -> list[Tensor]:
        return [values[f"hidden-{name}-{i}"] for i in range(self._layers[name])]


def _named(name: str, layers: list[Tensor]) -> dict[str, Tensor]:
    return {f"hidden-{name}-{i}": layer for i, layer in enumerate(layers)}


def rows_of(batch: Batch, mask: Tensor) -> Batch:
    """Return the batch of the rows where mask (B,) is True."""
    kept: Batch = {}
    for key, value in batch.items():
        if isinstance(value, dict):
            kept[key] = rows_of(value, mask)
        else:
            kept[key] = value[mask] if isinstance(value, Tensor) else value
    return kept
