"""The command line as a user meets it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from cmkd import CrossModalDistillation
from cmkd.cli import run
from cmkd.main import main
from tests.cmkd.setting import assert_same, weights

TINY = str(Path(__file__).with_name("tiny.yaml"))


def fit(tmp_path, *arguments):
    return run(["fit", "--config", TINY, "--run.dir", str(tmp_path / "run"), *arguments])


def refused(capsys, *arguments):
    """Return what a refused command line prints."""
    with pytest.raises(SystemExit) as stopped:
        run(list(arguments))
    assert stopped.value.code != 0
    return capsys.readouterr().err


@pytest.mark.parametrize("program", [["cmkd"], [sys.executable, "-m", "cmkd"]])
def test_help_answers(program):
    path = Path(sys.executable).parent / program[0]
    command = [str(path) if path.exists() else program[0], *program[1:], "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "fit" in done.stdout
    assert "test" in done.stdout


def test_help_loads_no_media_library_and_no_wandb():
    heavy = ["torchvision", "torchaudio", "wandb", "av", "scipy", "tensorboard"]
    code = (
        "import sys\n"
        "from lightning.pytorch.cli import LightningCLI\n"
        "before = set(sys.modules)\n"
        "from cmkd.cli import run\n"
        "try:\n    run(['fit', '--help'])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {heavy} if m in sys.modules and m not in before], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("command", ["infer", "search", "report"])
def test_what_trains_nothing_starts_without_lightning(command):
    code = (
        "import sys\n"
        "from cmkd.main import main\n"
        f"sys.argv = ['cmkd', '{command}', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print('lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_misspelt_command_is_told_the_nearest_and_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cmkd", "compaer", "--config", "x.yaml"])
    with pytest.raises(SystemExit, match="2"):
        main()
    message = capsys.readouterr().err
    assert "no command 'compaer'; did you mean 'compare'?" in message
    assert "fit, validate" in message


def test_importing_cmkd_alone_loads_no_torch():
    code = "import cmkd, sys; print('torch' in sys.modules, cmkd.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False")


def test_fit_writes_one_folder_with_config_checkpoints_and_metrics(tmp_path, capsys):
    cli = fit(tmp_path)
    folder = tmp_path / "run"
    assert {"config.yaml", "metrics.csv", "checkpoints"} <= {path.name for path in folder.iterdir()}
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert cli.trainer.global_step == 16
    printed = capsys.readouterr().out
    assert "Best validation accuracy" in printed
    assert "teacher" in printed
    assert "best.ckpt" in printed


def test_the_saved_config_repeats_the_run(tmp_path):
    first = fit(tmp_path)
    config = str(tmp_path / "run" / "config.yaml")
    again = run(["fit", "--config", config, "--run.dir", str(tmp_path / "again")])
    assert_same(weights(first.model), weights(again.model))


def test_test_scores_the_student_of_a_checkpoint(tmp_path):
    fit(tmp_path)
    best = str(tmp_path / "run" / "checkpoints" / "best.ckpt")
    cli = run(["test", "--config", TINY, "--ckpt_path", best])
    assert set(cli.trainer.callback_metrics) >= {"test/student_accuracy"}
    assert "test/teacher_accuracy" not in cli.trainer.callback_metrics
    assert cli.datamodule.student_modalities == ["face"]


def test_a_checkpoint_of_the_command_line_loads_without_arguments(tmp_path):
    cli = fit(tmp_path)
    best = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert torch.load(best, weights_only=True)["hyper_parameters"]["teacher_epochs"] == 2
    loaded = CrossModalDistillation.load_from_checkpoint(best)
    assert_same(weights(cli.model), weights(loaded))


def test_resume_goes_on_in_the_folder_and_the_config_stands(tmp_path):
    fit(tmp_path, "--trainer.max_epochs", "3")
    last = str(tmp_path / "run" / "checkpoints" / "last.ckpt")
    cli = run(
        [
            "fit",
            "--config",
            TINY,
            "--model.optimizer",
            "AdamW",
            "--model.optimizer.init_args.lr",
            "0.5",
            "--ckpt_path",
            last,
        ]
    )
    assert cli.folder == tmp_path / "run"
    assert cli.trainer.current_epoch == 4
    # The checkpoint's hyper-parameters say 0.001.
    assert cli.trainer.optimizers[1].param_groups[0]["lr"] == 0.5
    names = {path.name for path in cli.folder.iterdir()}
    assert {"config.yaml", "config-1.yaml", "metrics.csv", "metrics-1.csv"} <= names


def test_modality_sets_are_given_to_the_data_and_classes_to_the_model(tmp_path):
    cli = fit(
        tmp_path,
        "--model.student_modalities",
        "[audio]",
        "--model.auxiliary_modalities",
        "[face]",
        "--data.init_args.classes",
        "4",
        "--trainer.fast_dev_run",
        "1",
    )
    assert cli.datamodule.student_modalities == ["audio"]
    assert cli.model.task.num_classes == 4


def test_terms_are_switched_off_and_weighted_from_the_command_line(tmp_path):
    cli = fit(
        tmp_path,
        "--model.student_terms.h_ts.weight",
        "0",
        "--model.teacher_terms.mi_ta",
        "null",
        "--model.student_terms.mi_ts.weight",
        "0.3",
        "--trainer.fast_dev_run",
        "1",
    )
    assert cli.model.stage_terms["student"].weights == {"entropy": 1.0, "mi_ts": 0.3}
    assert cli.model.stage_terms["teacher"].weights == {"mi_ts": 0.1}


def test_the_seed_reaches_model_and_data(tmp_path):
    cli = fit(tmp_path, "--seed_everything", "7", "--trainer.fast_dev_run", "1")
    assert cli.model.seed == 7
    assert cli.datamodule.seed == 7


def test_a_typo_in_a_key_is_named(tmp_path, capsys):
    config = yaml.safe_load(Path(TINY).read_text())
    config["model"]["teacher_epoch"] = config["model"].pop("teacher_epochs")
    (tmp_path / "typo.yaml").write_text(yaml.safe_dump(config))
    assert "teacher_epoch" in refused(capsys, "fit", "--config", str(tmp_path / "typo.yaml"))


def test_a_typo_in_a_class_is_named(capsys):
    error = refused(
        capsys,
        "fit",
        "--config",
        TINY,
        "--model.student_terms.h_ts.objective.class_path",
        "cmkd.objectives.InfoNCF",
    )
    assert "InfoNCF" in error


def test_a_config_that_is_not_there_is_named(capsys):
    assert "nowhere.yaml" in refused(capsys, "fit", "--config", "nowhere.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.student_modalities", "[fase]"], r"fase"),
        (["--model.auxiliary_modalities", "[face]"], r"'?face'? stands in"),
        (["--model.auxiliary_modalities", "[]"], r"audio, which is neither a student nor an aux"),
        (["--model.student_modalities", "[]"], r"student_modalities is empty"),
        (["--data.init_args.shapes", "{face: [6]}"], r"there is no modality 'audio'"),
        (["--data.init_args.shapes", "{face: [7], audio: [5]}"], r"modality 'face'.*6"),
    ],
)
def test_modalities_that_do_not_fit_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, *arguments)


def test_a_file_of_the_config_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    base = Path(__file__).parents[2] / "experiments" / "ravdess" / "base.yaml"
    command = ["cmkd", "fit", "--config", str(base), "--data.init_args.file", "nowhere.npz"]
    monkeypatch.setattr(sys, "argv", [*command, "--run.dir", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^cmkd: error: nowhere\.npz: no such file"):
        main()


@pytest.fixture
def diverging(tmp_path, monkeypatch):
    """Runs a fit whose first step makes the weights so large that the logits are infinite."""
    rate = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e30}}
    (tmp_path / "rate.yaml").write_text(yaml.safe_dump({"model": {"optimizer": rate}}))
    command = ["cmkd", "fit", "--config", TINY, "--config", str(tmp_path / "rate.yaml")]

    def fit_it(*arguments):
        monkeypatch.setattr(sys, "argv", [*command, "--run.dir", str(tmp_path), *arguments])
        main()

    return fit_it


def test_a_run_that_diverges_stops_with_one_line_and_its_samples_in_a_file(tmp_path, diverging):
    with pytest.raises(SystemExit, match=r"^cmkd: error: .* of epoch \d+: samples .*--ckpt_path"):
        diverging()
    assert (tmp_path / "nonfinite.csv").is_file()


@pytest.mark.filterwarnings("ignore:the loss is nan")
def test_a_run_that_diverges_may_leave_steps_out_before_it_stops(diverging):
    with pytest.raises(SystemExit, match="after 2 skipped in a row"):
        diverging("--nonfinite.policy", "skip", "--nonfinite.max_skipped_in_a_row", "2")
