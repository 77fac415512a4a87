"""What an exported student's files hold, what they need, and what becomes of damaged ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmkd import Student, load_student
from cmkd.networks import MLP, AttentionFusion, GRUEncoder, ModalityNetwork
from cmkd.student import record, save_student
from cmkd.student.architecture import Architecture
from datamodules.feature_preprocessing import FeaturePreprocessing

NAMES = ["calm", "happy", "sad"]
SOURCE = {"face": torch.arange(4.0), "speech": torch.ones(5, 3)}


def architecture() -> Architecture:
    return Architecture.read(
        {
            "encoders": {
                "face": {"class_path": "cmkd.networks.MLP", "init_args": {"in_features": 4}},
                "speech": {
                    "class_path": "cmkd.networks.GRUEncoder",
                    "init_args": {"in_features": 3, "width": 8},
                },
            },
            "fusion": {"class_path": "cmkd.networks.AttentionFusion", "init_args": {"heads": 2}},
            "embedding_dim": 8,
            "num_outputs": 3,
            "dropout": 0.1,
        },
        "here",
    )


def make_student() -> Student:
    torch.manual_seed(0)
    network = ModalityNetwork(
        {"face": MLP(4), "speech": GRUEncoder(3, width=8)},
        lambda count, dim: AttentionFusion(count, dim, heads=2),
        embedding_dim=8,
        num_outputs=3,
    )
    preprocessing = FeaturePreprocessing(
        {"face": [4], "speech": [None, 3]},
        mean={"face": torch.arange(4, dtype=torch.float64)},
        std={"face": torch.full((4,), 2.0, dtype=torch.float64)},
        trimmed=["speech"],
    )
    return Student(network, preprocessing, NAMES)


@pytest.fixture
def saved(tmp_path) -> Path:
    return save_student(make_student(), architecture(), tmp_path / "out", origin={"epoch": 3})


def change(path: Path, *keys, value, seal: bool = True) -> Path:
    """Change a field of the JSON, as somebody would who knows how the fingerprint is made."""
    place = path.with_suffix(".json")
    content = json.loads(place.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    if seal:
        content["fingerprint"] = record._fingerprint(content)
    place.write_text(json.dumps(content))
    return path


def test_a_saved_student_is_the_same_student(saved):
    expected = make_student().predict(SOURCE)
    for path in (saved, saved.with_suffix(".json"), saved.parent):
        student = load_student(path)
        found = student.predict(SOURCE)
        assert torch.equal(found.probabilities, expected.probabilities)
        assert torch.equal(found.embedding, expected.embedding)
        assert student.class_names == tuple(NAMES)
        assert student.predict({"face": SOURCE["face"]}).top(1)[0][0] in NAMES


def test_a_saved_student_predicts_without_lightning_pickle_or_training_code(saved, tmp_path):
    script = tmp_path / "use.py"
    script.write_text(
        f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("lightning", "lightning_fabric", "pytorch_lightning",
                                  "lightning_utilities", "torchmetrics", "jsonargparse", "wandb"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import torch
import cmkd
student = cmkd.load_student({str(saved)!r})
source = {{"face": torch.arange(4.0), "speech": torch.ones(5, 3)}}
print(student.predict(source).probabilities.tolist())
import datamodules.clip_preprocessing
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = make_student().predict(SOURCE).probabilities
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), expected, atol=1e-6)


CHANGES = {
    "format": (["format"], "something", "format"),
    "version": (["version"], 99, "version.*99"),
    "task": (["task"], "guessing", "task"),
    "names": (["class_names"], ["one", 2], "class_names"),
    "too few names": (["class_names"], ["one"], "class_names.*3 outputs"),
    "outside": (["weights", "file"], "../student.safetensors", "weights.file"),
    "width": (["network", "embedding_dim"], "8", "network.embedding_dim"),
    "no encoders": (["network", "encoders"], {}, "network.encoders"),
    "other network": (["network", "num_outputs"], 4, r"student.safetensors.*head.1.weight"),
    "argument": (
        ["network", "encoders", "face", "init_args", "depht"], 2, "encoders.face.*depht",
    ),
    "no tensor": (
        ["preprocessing", "init_args", "mean", "face", "tensor"], "nowhere",
        "preprocessing.*mean.*nowhere",
    ),
    "os.system": (
        ["network", "encoders", "face", "class_path"], "os.system", "encoders.face.*no class of",
    ),
    "main": (
        ["network", "encoders", "face", "class_path"], "cmkd.__main__.main", "no class of this",
    ),
    "unknown": (
        ["network", "fusion", "class_path"], "cmkd.networks.Nothing", "network.fusion.*Nothing",
    ),
    "no encoder": (
        ["network", "encoders", "face", "class_path"], "datamodules.Quickstart", "is no Encoder",
    ),
    "no preprocessing": (
        ["preprocessing", "class_path"], "cmkd.networks.MLP", "preprocessing.*is no Preprocessing",
    ),
    "nested": (
        ["network", "encoders", "face", "init_args", "width"], {"class_path": "os.system"},
        "encoders.face.init_args.width",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_refused_with_file_and_field(saved, name):
    keys, value, message = CHANGES[name]
    change(saved, *keys, value=value)
    with pytest.raises(ValueError, match=message) as caught:
        load_student(saved)
    assert str(saved.with_suffix("")) in str(caught.value)


def test_what_was_changed_without_the_fingerprint_is_noticed(saved):
    change(saved, "class_names", value=["a", "b", "c"], seal=False)
    with pytest.raises(ValueError, match=r"student.json, fingerprint"):
        load_student(saved)


def test_weights_of_another_student_are_noticed(saved):
    tensors = load_file(saved)
    tensors["network.head.1.bias"] += 1
    save_file(tensors, saved)
    with pytest.raises(ValueError, match=r"student.safetensors: is not what.*sha256"):
        load_student(saved)


def test_files_that_are_cut_short_or_gone_are_named(saved):
    content = saved.read_bytes()
    saved.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"student.safetensors: is no whole"):
        load_student(saved)
    saved.unlink()
    with pytest.raises(FileNotFoundError, match=r"student.safetensors"):
        load_student(saved)
    place = saved.with_suffix(".json")
    place.write_text(place.read_text()[:100])
    with pytest.raises(ValueError, match=r"student.json: is no JSON"):
        load_student(saved)
    place.unlink()
    with pytest.raises(FileNotFoundError, match=r"student.json"):
        load_student(saved)
    with pytest.raises(ValueError, match=r"give a \.safetensors file"):
        load_student(saved.with_suffix(".onnx"))


def test_a_module_that_is_not_trusted_is_not_even_imported(saved, tmp_path, monkeypatch):
    package = tmp_path / "stranger"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from pathlib import Path\n"
        f"Path({str(tmp_path / 'it ran')!r}).touch()\n"
        "from cmkd.networks import MLP\n"
        "class Mine(MLP):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    change(saved, "network", "encoders", "face", "class_path", value="stranger.Mine")
    with pytest.raises(ValueError, match=r"trust=\['stranger'\]"):
        load_student(saved)
    assert not (tmp_path / "it ran").exists()
    found = load_student(saved, trust=["stranger"]).predict(SOURCE)
    assert (tmp_path / "it ran").exists()
    assert torch.equal(found.probabilities, make_student().predict(SOURCE).probabilities)


def test_pretrained_weights_are_not_downloaded_to_be_overwritten():
    given = architecture().written()
    encoder = {"class_path": "cmkd.networks.TorchvisionImage"}
    encoder["init_args"] = {"architecture": "resnet18", "weights": "IMAGENET1K_V1"}
    given["encoders"] = {"image": encoder}
    read = Architecture.read(given, "here")
    assert read.encoders["image"].init_args["weights"] is None
