import torch

from cmkd.subsets import (
    drop_modalities,
    modalities_of,
    network_of,
    restricted,
    subset_role,
    without,
)


def batch(rows=6):
    return {
        "video": torch.ones(rows, 2),
        "audio": torch.ones(rows, 2),
        "present": {
            "video": torch.ones(rows, dtype=torch.bool),
            "audio": torch.arange(rows) != 0,
        },
    }


def test_a_subsets_name_tells_the_network_and_the_modalities():
    role = subset_role("teacher", ["video", "audio"])
    assert network_of(role) == "teacher"
    assert modalities_of(role, ["text", "audio", "video"]) == ["audio", "video"]
    assert network_of("teacher") == "teacher"
    assert modalities_of("teacher", ["text", "audio"]) == ["text", "audio"]


def test_what_a_subset_leaves_out_is_absent_and_the_batch_stays_as_it_was():
    given = batch()
    seen = restricted(given, "teacher@audio", ["video", "audio"])
    assert not seen["present"]["video"].any()
    assert seen["present"]["audio"].tolist() == [False] + 5 * [True]
    assert given["present"]["video"].all()
    assert restricted(given, "teacher", ["video", "audio"]) is given


def test_rows_can_be_made_absent():
    rows = torch.tensor([True, False, False, False, False, True])
    assert without(batch(), {"audio": rows})["present"]["audio"].tolist() == [
        False, True, True, True, True, False
    ]  # fmt: skip


def test_dropping_leaves_each_row_one_of_the_modalities_it_has():
    torch.manual_seed(0)
    given = batch(4_000)
    for probability in (0.3, 1.0):
        present = drop_modalities(given, ["video", "audio"], probability)["present"]
        assert (present["video"] | present["audio"]).all()
        assert present["video"][0]  # it has nothing else
        assert not present["audio"][0]
    kept = drop_modalities(given, ["video", "audio"], 0.3)["present"]["video"].float().mean()
    # Dropped with 0.3, but for half of the 0.09 in which both would go.
    assert abs(kept - (1 - 0.3 + 0.045)) < 0.03
    assert drop_modalities(given, ["video"], 1.0)["present"]["video"].all()
