"""How the defaults of the AMID objective and of the fusion are chosen."""

import sys
from pathlib import Path

import pytest

from cmkd.compare.config import read_comparison

EVIDENCE = Path(__file__).parents[1] / "experiments" / "evidence"
sys.path.insert(0, str(EVIDENCE))

import amid_defaults  # noqa: E402
import fusions  # noqa: E402
import validation  # noqa: E402


def test_a_method_is_held_against_the_baseline_by_validation_and_pair(tmp_path):
    path = tmp_path / "results.csv"
    # The test accuracies say the opposite.
    path.write_text(
        "group,method,fold,seed,val,accuracy\n"
        "a,none,0,10,0.5,0.9\na,none,0,11,0.6,0.9\n"
        "a,rkd,0,11,0.63,0.1\na,rkd,0,10,0.51,0.1\n"
    )
    # Differences of 3 and 1; 12.7 standard errors of 1.
    assert validation.columns(path, "none") == {"a": {"none": "55.0", "rkd": "+2.0 ± 12.7"}}


def test_fusions_are_compared_in_networks_of_all_modalities_with_other_seeds(monkeypatch, capsys):
    comparison = read_comparison(fusions.CONFIG)
    # Not those of the comparison of all methods, which are 0 to 4.
    assert min(comparison.seeds) >= 10
    for group in comparison.groups.values():
        assert len(group.variant.overrides["model.student_modalities"]) == 2
    assert comparison.base.overrides["model.auxiliary_modalities"] == []
    monkeypatch.setattr(fusions.subprocess, "run", lambda *_, **__: None)
    found = {"a group": dict.fromkeys(comparison.methods, "50.0")}
    monkeypatch.setattr(fusions, "columns", lambda *_: found)
    fusions.main([])
    lines = capsys.readouterr().out.strip().splitlines()[2:]
    assert [line.split()[1] for line in lines] == list(comparison.methods)


@pytest.mark.parametrize("data", sorted(amid_defaults.SEEDS))
def test_what_is_compared_is_the_student_alone_the_variants_and_some_others(
    tmp_path, monkeypatch, data
):
    commands = []
    monkeypatch.setattr(
        amid_defaults.subprocess, "run", lambda command, **_: commands.append(command)
    )
    assert amid_defaults.compare(data, tmp_path, jobs=2) == tmp_path / data / "results.csv"
    (command,) = commands
    compared = command[command.index("--methods") + 1 :]
    others = compared[1 + len(amid_defaults.VARIANTS) :]
    assert compared == ["none", *amid_defaults.VARIANTS, *others]
    assert {"kd", "rkd"} <= set(others) <= set(amid_defaults.OTHERS)
    comparison = read_comparison(tmp_path / f"{data}.yaml")
    assert set(compared) <= set(comparison.methods)
    assert comparison.search is None
    # Not those of the comparison of all methods, which are 0 to 4.
    assert min(comparison.seeds) >= 10
