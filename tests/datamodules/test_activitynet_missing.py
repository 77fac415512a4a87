"""ActivityNet with videos that are gone, and with lists of those to use."""

import pytest

from tests.datamodules.web_videos import activitynet, write_activitynet

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_activitynet(tmp_path_factory.mktemp("activitynet"))


def without(tree, folder, *missing):
    """The same tree, by links, without some of its videos."""
    root = folder / "fewer"
    root.mkdir()
    for path in tree[0].iterdir():
        if path.stem[2:] not in missing:
            (root / path.name).symlink_to(path)
    return root, tree[1]


def test_missing_videos_are_skipped_counted_and_listed(tree, tmp_path):
    fewer = without(tree, tmp_path, "-Zu_00000001", "-Ar_00000005")
    lists = tmp_path / "run" / "lists"
    data = activitynet(fewer, lists_to=str(lists))
    with pytest.warns(UserWarning, match=r"1 of 12 videos of the train .*-Zu_00000001, all are in"):
        data.setup("fit")
    assert len(data.clips("train")) + len(data.clips("val")) == 22
    assert (lists / "missing_train.txt").read_text() == "-Zu_00000001\n"
    assert (lists / "missing_test.txt").read_text() == "-Ar_00000005\n"
    assert len((lists / "used_train.txt").read_text().splitlines()) == 11
    told = data.describe()
    assert "train: 11 of 12 videos are there, with 22 clips; 1 are missing" in told
    assert "test: 5 of 6 videos are there, with 10 clips; 1 are missing" in told


def test_too_many_missing_videos_are_an_error_that_names_some(tree, tmp_path):
    fewer = without(tree, tmp_path, "-Zu_00000001", "-Ar_00000000", "-Ar_00000001")
    with pytest.raises(
        FileNotFoundError, match=r"3 of 12 videos .*-Zu_00000001, -Ar_00000000.*allows 20%"
    ):
        activitynet(fewer).setup("fit")
    with pytest.warns(UserWarning, match="3 of 12 videos"):
        activitynet(fewer, max_missing_share=0.25).setup("fit")


def test_the_ids_used_can_be_given_back_and_then_none_may_be_missing(tree, tmp_path):
    fewer = without(tree, tmp_path, "-Zu_00000001")
    lists = tmp_path / "lists"
    first = activitynet(fewer, lists_to=str(lists))
    with pytest.warns(UserWarning, match="1 of 12"):
        first.setup("fit")
    ids = [str(lists / f"used_{part}.txt") for part in ("train", "test")]
    again = activitynet(tree, ids=ids)  # the missing video is back
    for split in SPLITS:
        assert [c.name for c in again.clips(split)] == [c.name for c in first.clips(split)]
    one = tmp_path / "ids.txt"
    one.write_text("\ufeff-Zu_00000001\r\n\r\n-Ar_00000000\r\n", encoding="utf-8", newline="")
    assert {clip.group for clip in activitynet(tree, ids=str(one)).listed("train")} == {
        "-Zu_00000001",
        "-Ar_00000000",
    }
    with pytest.raises(FileNotFoundError, match=r"1 of 2 videos .*-Zu_00000001.*take them off"):
        list(activitynet(fewer, ids=str(one)).listed("train"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["-Zu_00000001", "nobody"], r"1 of the ids .*ids.txt are not annotated.*nobody"),
        (["_testing0001"], r"1 of the ids .*_testing0001"),
        (["-Zu_00000001", "", "-Zu_00000001"], r"ids.txt, line 3: -Zu_00000001 is listed twice"),
        ([""], "the files hold no id"),
    ],
)
def test_bad_ids_are_named(tree, tmp_path, lines, message):
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        activitynet(tree, ids=str(ids))


def test_nothing_is_written_into_the_data_and_an_unwritable_folder_is_named(tree, tmp_path):
    before = sorted(tree[0].parent.rglob("*"))
    list(activitynet(tree).listed("train"))
    assert sorted(tree[0].parent.rglob("*")) == before
    (tmp_path / "file").write_text("")
    data = activitynet(tree, lists_to=str(tmp_path / "file" / "lists"))
    with pytest.raises(ValueError, match=r"ActivityNet.lists_to: cannot write .*_train.txt"):
        list(data.listed("train"))
