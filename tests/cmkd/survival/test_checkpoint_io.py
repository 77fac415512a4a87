"""A checkpoint file is there whole or not at all, and nothing in it is ever executed."""

import os
import pickle
import resource
from contextlib import contextmanager

import pytest
import torch
from lightning.pytorch import Callback

from cmkd import CrossModalDistillation
from cmkd.checkpoint_io import AtomicCheckpointIO, CheckpointNotWrittenError
from cmkd.checkpoints import read_checkpoint
from tests.cmkd.setting import kd_terms, make_data, make_model, make_trainer
from tests.cmkd.survival.run import carried, checkpoints, fit, last

OLD, NEW = {"weight": torch.zeros(50_000)}, {"weight": torch.ones(50_000)}


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@contextmanager
def room_for(size):
    """Let no file become larger, as a disk that fills up does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(OLD, path)
    return path


def content(path):
    return float(AtomicCheckpointIO().load_checkpoint(path)["weight"].mean())


def names(path):
    return [each.name for each in path.parent.iterdir()]


def test_a_save_replaces_the_file_and_leaves_nothing_beside_it(path):
    AtomicCheckpointIO().save_checkpoint(NEW, path)
    assert content(path) == 1
    assert names(path) == ["last.ckpt"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_process_killed_while_it_saves_leaves_the_old_file(path, monkeypatch, call):
    def kill(*arguments):
        raise Killed

    def half(descriptor, data):
        os.ftruncate(descriptor, 100)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, call, half if call == "write" else kill)
        with pytest.raises(Killed):
            AtomicCheckpointIO().save_checkpoint(NEW, path)
    assert content(path) == 0
    assert sorted(names(path)) == ["last.ckpt", "last.ckpt.part"]
    AtomicCheckpointIO().save_checkpoint(NEW, path)
    assert content(path) == 1
    assert names(path) == ["last.ckpt"]


def test_the_file_is_on_the_disk_before_it_has_its_name(path, monkeypatch):
    done = []
    for call in ("fsync", "replace"):
        real = getattr(os, call)
        monkeypatch.setattr(
            os, call, lambda *arguments, real=real, call=call: (done.append(call), real(*arguments))
        )
    AtomicCheckpointIO().save_checkpoint(NEW, path)
    # The file, its name, the folder that has the name.
    assert done == ["fsync", "replace", "fsync"]


# Full in the first bytes, and in the middle of the tensor.
@pytest.mark.parametrize("size", [100, 100_000])
def test_a_full_disk_is_named_and_the_old_file_stays(path, size):
    with (
        room_for(size),
        pytest.raises(CheckpointNotWrittenError, match=r"File too large; .*Make room.*last\.ckpt"),
    ):
        AtomicCheckpointIO().save_checkpoint(NEW, path)
    assert content(path) == 0
    assert names(path) == ["last.ckpt"]


def test_without_an_older_checkpoint_the_error_says_so(tmp_path):
    with room_for(100), pytest.raises(CheckpointNotWrittenError, match="there is none yet"):
        AtomicCheckpointIO().save_checkpoint(NEW, tmp_path / "last.ckpt")


class FullDisk(Callback):
    """Fills the disk in front of an epoch."""

    def __init__(self, epoch):
        self.epoch, self.room = epoch, None

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == self.epoch:
            self.room = room_for(10_000)
            self.room.__enter__()


def test_a_run_whose_disk_is_full_stops_and_goes_on_from_the_checkpoint_before(tmp_path, caplog):
    caplog.set_level("INFO", logger="lightning.pytorch")
    full = FullDisk(epoch=1)
    try:
        with pytest.raises(CheckpointNotWrittenError, match="the one before it is whole and stays"):
            fit(tmp_path, [full], every=None, max_epochs=2)
    finally:
        full.room.__exit__(None, None, None)
    assert f"go on with --ckpt_path {last(tmp_path)}" in caplog.text
    assert carried(last(tmp_path))["/epoch"] == 0
    assert fit(tmp_path, every=None, max_epochs=2).current_epoch == 2


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint of a run."""
    folder = tmp_path_factory.mktemp("run")
    fit(folder, every=None, max_epochs=1)
    return torch.load(last(folder), weights_only=True)


@pytest.fixture(params=["as a pickle", "in the archive", "among the hyper-parameters"])
def evil(request, tmp_path, written):
    """A checkpoint with code in it, and the file that the code would write."""
    trace, path = tmp_path / "executed", tmp_path / "evil.ckpt"
    payload = Payload(trace)
    if request.param == "as a pickle":
        path.write_bytes(pickle.dumps(written | {"state_dict": payload}))
    elif request.param == "in the archive":
        torch.save(written | {"state_dict": payload}, path)
    else:
        torch.save(written | {"hyper_parameters": {"student_modalities": payload}}, path)
    return path, trace


def by_fit(path, folder):
    make_trainer(folder).fit(make_model(), datamodule=make_data(), ckpt_path=path)


def by_fit_with_callback(path, folder):
    path.replace(checkpoints(folder).with_name("last.ckpt"))
    last(folder).parent.mkdir()
    checkpoints(folder).with_name("last.ckpt").replace(last(folder))
    fit(folder)


def by_test(path, folder):
    make_trainer(folder).test(make_model(), datamodule=make_data(), ckpt_path=path)


def by_load_from_checkpoint(path, folder):
    CrossModalDistillation.load_from_checkpoint(path)


def by_teacher_checkpoint(path, folder):
    model = make_model(student_terms=kd_terms(), teacher_checkpoint=str(path))
    make_trainer(folder).fit(model, datamodule=make_data())


@pytest.mark.parametrize(
    "load",
    [by_fit, by_fit_with_callback, by_test, by_load_from_checkpoint, by_teacher_checkpoint],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_checkpoint_is_not_executed(evil, tmp_path, load):
    path, trace = evil
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        load(path, tmp_path)
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_load_from_checkpoint_trusts_neither_the_environment_nor_its_caller(evil, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(pickle.UnpicklingError):
        CrossModalDistillation.load_from_checkpoint(evil[0])
    with pytest.raises(ValueError, match="could run code; leave it out"):
        CrossModalDistillation.load_from_checkpoint(evil[0], weights_only=False)
    assert not evil[1].exists()


def test_the_payload_of_these_tests_does_work(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "executed"))).close()
    assert (tmp_path / "executed").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("read", [AtomicCheckpointIO().load_checkpoint, read_checkpoint])
def test_the_error_names_the_file_and_the_remedy_whatever_the_environment_asks(
    evil, monkeypatch, read
):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ValueError, match=r"evil\.ckpt' cannot be read.*code.*take the file"):
        read(str(evil[0]))
    assert not evil[1].exists()


def test_a_checkpoint_is_not_trusted_on_request(path):
    with pytest.raises(ValueError, match=r"weights_only is false.*leave it out"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)


def test_a_checkpoint_that_is_cut_short_is_named(path):
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.ckpt' cannot be read.*cut short.*best\.ckpt"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint '.*gone\.ckpt'"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "gone.ckpt")
