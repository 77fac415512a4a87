"""How checkpoint files are written and read: whole or not at all, and never as code."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO

from cmkd.checkpoints import read_plain

#: What a file is called until it is whole.
PART = ".part"


class CheckpointNotWrittenError(OSError):
    """A checkpoint could not be written: disk full, quota, no permission."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and renames it when all of it is on the disk.

    Whenever the process is killed, ``last.ckpt`` is the old file or the new one, both whole; what
    may be left is ``last.ckpt.part``, which the next save overwrites. Lightning writes into the
    system's temporary folder and moves the file, which is a copy where that is another file system,
    and holds the bytes in memory twice. Paths of a remote file system are left to Lightning.

    Reading takes tensors and plain data alone, whatever the caller asks for.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointNotWrittenError: when the file cannot be written; what stood there stays.
        """
        if not _is_local(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        part = path.with_name(path.name + PART)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                _save(checkpoint, file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            _remove(part)
            kept = "the one before it is whole and stays" if path.exists() else "there is none yet"
            raise CheckpointNotWrittenError(
                error.errno,
                f"the checkpoint could not be written ({error.strerror}; {kept}). Make room, or "
                "set --checkpoint.dirpath to another disk, and go on from the last checkpoint with "
                "--ckpt_path",
                str(path),
            ) from error

    def load_checkpoint(
        self,
        path: _PATH,
        map_location: Any | None = "cpu",
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint without executing anything in it.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is damaged, would run code, or is asked to be trusted.
        """
        if weights_only is False:
            raise ValueError(
                "weights_only is false, but checkpoints are read as tensors and plain data alone, "
                "as anything else could run code; leave it out"
            )
        filesystem = get_filesystem(path)
        if not filesystem.exists(str(path)):
            raise FileNotFoundError(f"there is no checkpoint '{path}'")
        with filesystem.open(str(path), "rb") as file:
            loaded: dict[str, Any] = read_plain(file, str(path), map_location)
        return loaded


class _Descriptor:
    """What ``torch.save`` writes to; it remembers the error that torch turns into another."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        try:
            while written < len(view):
                written += os.write(self._descriptor, view[written:])
        except BaseException as error:
            self.error = self.error or error
            raise
        return written

    def flush(self) -> None:
        """Do nothing: nothing is held back."""


def _save(checkpoint: dict[str, Any], descriptor: int) -> None:
    target = _Descriptor(descriptor)
    try:
        torch.save(checkpoint, target)  # type: ignore[arg-type] # it asks for no more than write
    except RuntimeError:
        # torch reports a failed write, or Ctrl-C in it, as a position it did not expect.
        if target.error is None:
            raise
        raise target.error from None
    # Some file systems notice here that they are full.
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    """Let the renaming survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        # The error that led here is the one to tell.
        return


def remove_parts(folder: Path) -> None:
    """Remove what killed runs left of checkpoints they were writing."""
    for part in folder.glob(f"*.ckpt{PART}"):
        _remove(part)


def _is_local(path: _PATH) -> bool:
    protocol = get_filesystem(path).protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)
