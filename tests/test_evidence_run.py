"""The whole evidence: each step once, and on where it stopped."""

import json
import sys
from pathlib import Path

import pytest

EVIDENCE = Path(__file__).parents[1] / "experiments" / "evidence"
sys.path.insert(0, str(EVIDENCE))

import run  # noqa: E402


@pytest.fixture
def evidence(tmp_path, monkeypatch):
    """Steps that write down that they ran; the second fails until `fixed` is there."""
    (tmp_path / "first.py").write_text("print('1', file=open('ran', 'a'))")
    (tmp_path / "second.py").write_text(
        "from pathlib import Path; print('2', file=open('ran', 'a')); Path('fixed').read_text()"
    )
    (tmp_path / "table.py").write_text("print('3', file=open('ran', 'a'))")
    steps = [
        run.Step(name, ("python", f"{name}.py"), reads=name == "table")
        for name in ("first", "second", "table")
    ]
    monkeypatch.setattr(run, "steps", lambda: steps)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return run


def ran():
    return Path("ran").read_text().split()


def spent():
    return json.loads(Path("runs/evidence/full.json").read_text())


def test_a_failed_step_stops_no_other_is_tried_again_and_its_time_counts(evidence, capsys):
    with pytest.raises(SystemExit, match="1"):
        evidence.main([])
    assert ran() == ["1", "2", "3"]
    before = spent()
    assert [entry["finished"] for entry in before.values()] == [True, False, True]
    assert "failed" in capsys.readouterr().out
    Path("fixed").touch()
    evidence.main([])
    # The table was made without the second step.
    assert ran() == ["1", "2", "3", "2", "3"]
    after = spent()
    assert all(entry["finished"] for entry in after.values())
    assert after["python first.py"] == before["python first.py"]
    assert after["python second.py"]["seconds"] > before["python second.py"]["seconds"]
    evidence.main([])
    assert ran() == ["1", "2", "3", "2", "3"]
    evidence.main(["--again"])
    assert ran()[5:] == ["1", "2", "3"]


def test_the_steps_are_listed_and_not_done(evidence, capsys):
    evidence.main(["--list"])
    assert capsys.readouterr().out.split() == [
        "python",
        "first.py",
        "python",
        "second.py",
        "python",
        "table.py",
    ]
    assert not Path("ran").exists()
