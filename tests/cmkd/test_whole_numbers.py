"""A whole number is not made a float, whichever libraries were imported before."""

from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
from lightning.pytorch import Trainer

from cmkd.compare.parser import _parser, parse
from cmkd.whole_numbers import keep_whole_numbers


def test_int_comes_before_float_and_the_rest_stays():
    def function(count: float | int | None, name: str, interval: float | str | int) -> None: ...

    keep_whole_numbers(function)
    assert [get_args(hint) for hint in function.__annotations__.values()] == [
        (int, NoneType, float),
        (),
        (str, int, float),
        (),
    ]


BASE = Path(__file__).parents[2] / "experiments" / "ravdess" / "base.yaml"


@pytest.fixture
def float_first(monkeypatch):
    _parser.cache_clear()
    monkeypatch.setitem(Trainer.__init__.__annotations__, "limit_train_batches", float | int | None)
    yield
    _parser.cache_clear()


@pytest.mark.parametrize(("given", "kind"), [("1", int), ("1.0", float), ("0.5", float)])
def test_one_batch_is_not_read_as_all_of_them(float_first, given, kind):
    arguments = ["--config", str(BASE)]
    parsed = parse([*arguments, f"--trainer.limit_train_batches={given}"])
    assert type(parsed.trainer.limit_train_batches) is kind
