"""Ctrl-C that arrives where Python cannot raise it."""

import signal
import sys
import time

import pytest

from cmkd.interrupts import keep_interrupts
from cmkd.main import main
from tests.cmkd.compare.setting import records, write
from tests.fake_data import FakeData


class InterruptedAtItsEnd:
    """Ctrl-C is pressed while its destructor runs."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


class InterruptedData(FakeData):
    """Data of a comparison that is interrupted once, in a destructor."""

    pressed = False

    def build_dataset(self, split, modalities):
        if not InterruptedData.pressed:
            InterruptedData.pressed = True
            InterruptedAtItsEnd()
        return super().build_dataset(split, modalities)


@pytest.fixture
def interruptible(monkeypatch):
    """Ctrl-C interrupts, although Lightning ignores it once a training was interrupted."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_a_destructor_is_raised_after_it():
    keep_interrupts()
    InterruptedAtItsEnd()
    with pytest.raises(KeyboardInterrupt):
        time.sleep(30)


@pytest.mark.usefixtures("interruptible")
def test_other_exceptions_in_a_destructor_go_where_they_went(monkeypatch):
    class Fails:
        def __del__(self):
            raise OSError("the disk is full")

    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: seen.append(ignored.exc_type))
    keep_interrupts()
    keep_interrupts()
    Fails()
    assert seen == [OSError]


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_a_destructor_stops_a_comparison(tmp_path, monkeypatch, capsys):
    data = {"data.class_path": "tests.cmkd.test_interrupts.InterruptedData"}
    monkeypatch.setattr(InterruptedData, "pressed", False)
    path, out = write(tmp_path, "none", overrides=data), tmp_path / "out"
    given = ["--config", str(path), "--out", str(out), "--seeds", "0..49"]
    monkeypatch.setattr(sys, "argv", ["cmkd", "compare", *given])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len(records(out)) < 100
