"""IEMOCAP with files that are gone or damaged."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.datamodules.iemocap_files import iemocap, remove, write_iemocap

pytestmark = pytest.mark.filterwarnings("ignore:IEMOCAP. the turns under .* are not those of")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_iemocap(tmp_path_factory.mktemp("Größe 5") / "IEMOCAP ünï")


@pytest.fixture
def copy(root, tmp_path):
    """A tree of its own to break."""
    return Path(shutil.copytree(root, tmp_path / "IEMOCAP"))


def test_the_test_part_needs_no_file_of_the_auxiliary_modalities(copy):
    data = iemocap(copy)
    data.setup("test")
    before = list(data.test_dataloader())
    remove(copy, "dialog/avi", "dialog/transcriptions")
    data = iemocap(copy, gallery=True)
    data.setup("test")
    after = data.test_dataloader()
    for one, two in zip(before, after["test"], strict=True):
        assert two["present"].keys() == {"audio"}
        assert torch.equal(one["audio"], two["audio"])
    assert sum(len(batch["label"]) for batch in after["gallery"]) == 40


def test_a_damaged_transcription_is_no_matter_where_no_text_is_read(copy):
    for path in copy.glob("Session*/dialog/transcriptions/Ses*.txt"):
        path.write_text(f"{path.stem}_F000 no time\n")
    iemocap(copy).setup("test")
    with pytest.raises(ValueError, match=r"Ses01F_impro01.txt, line 1: expected"):
        iemocap(copy).setup("fit")


@pytest.mark.parametrize(
    ("missing", "modality"),
    [
        ("sentences/wav/Ses02F_impro01/Ses02F_impro01_M000.wav", "audio"),
        ("dialog/avi/DivX/Ses02F_impro01.avi", "video"),
        ("dialog/transcriptions/Ses02F_impro01.txt", "text"),
    ],
)
def test_a_missing_file_is_named_with_a_remedy(copy, missing, modality):
    (copy / "Session2" / missing).unlink()
    data = iemocap(copy, held_out="Ses02")
    data.setup("fit")  # the test's files are not looked at
    data = iemocap(copy, held_out="Ses02", auxiliary_at_test=True)
    with pytest.raises(
        FileNotFoundError,
        match=rf"turns have no {modality}.*Ses02F_impro01_[FM]000.*{missing}.*missing_clips: skip",
    ):
        data.setup("test")


def test_skipping_leaves_out_turns_the_student_cannot_see_and_masks_the_rest(copy):
    wav = copy / "Session5" / "sentences" / "wav" / "Ses05F_impro01"
    (wav / "Ses05F_impro01_M000.wav").unlink()
    (copy / "Session5" / "dialog" / "avi" / "DivX" / "Ses05F_impro01.avi").unlink()
    data = iemocap(copy, missing_clips="skip", auxiliary_at_test=True)
    with pytest.warns(
        UserWarning, match=r"1 turns of the test part .*first is Ses05F_impro01_M000"
    ):
        data.setup("test")
    seen = {}
    for batch in data.test_dataloader():
        for row, video in zip(batch["index"].tolist(), batch["present"]["video"], strict=True):
            seen[data.clips("test")[row].name] = bool(video)
        assert batch["present"]["audio"].all()
    assert len(seen) == 9
    assert {name for name, video in seen.items() if not video} == {
        f"Ses05F_impro01_{turn}" for turn in ("F000", "F001", "M001", "F002")
    }
