"""Figures show what they are given."""

import re

import pytest
import torch
from matplotlib.colors import to_hex

from cmkd.figures import (
    GalleryRow,
    Thumbnail,
    confusion_matrix,
    count_confusions,
    curves,
    embedding_map,
    frames,
    inline_svg,
    intervals,
    per_class_accuracy,
    picture,
    retrieval_gallery,
    samples,
    save_figure,
    spectrogram,
)
from cmkd.figures.embedding import project
from cmkd.figures.style import INK

NAMES = ["cat", "dog", "<fox>"]
COUNTS = torch.tensor([[7, 1, 0], [2, 2, 1], [0, 0, 0]])


def texts(figure):
    """Return all text of a figure."""
    return [
        t.get_text() for axes in figure.axes for t in axes.findobj(lambda a: hasattr(a, "get_text"))
    ]


def test_confusions_are_counted_by_true_and_predicted_class():
    target, guess = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0])
    assert count_confusions(target, guess, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_a_confusion_matrix_shows_the_counts_and_shades_by_the_share_of_the_true_class():
    figure = confusion_matrix(COUNTS, NAMES)
    assert {"7", "1", "2", *NAMES} <= set(texts(figure))
    opacity = figure.axes[0].images[0].get_array()[..., 3]
    assert opacity[0, 0] > opacity[1, 0] > opacity[1, 2] > opacity[0, 2] == 0
    assert not opacity[2].any()


def test_accuracies_are_sorted_and_a_class_without_a_sample_is_left_out():
    axes = per_class_accuracy(COUNTS, NAMES).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat (8)", "dog (5)"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([87.5, 40.0])


def test_counts_that_do_not_fit_the_names_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\).*got \(3, 3\)"):
        confusion_matrix(COUNTS, NAMES[:2])
    with pytest.raises(ValueError, match="no sample"):
        per_class_accuracy(torch.zeros(3, 3), NAMES)


def test_curves_have_their_ceilings_and_marks():
    figure = curves({"mi": ([1, 2], [0.5, 1.0])}, "nats", {"log 8": 2.08}, marks={"student": 2.0})
    axes = figure.axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 1.0]]
    assert {"log 8", "student", "nats", "epoch"} <= set(texts(figure))
    assert axes.get_ylim()[1] > 2.08
    with pytest.raises(ValueError, match="'a' has 1 x but 2 y"):
        curves({"a": ([1], [1, 2])}, "loss")


def test_a_line_is_broken_where_something_else_begins():
    series = {"student": ([1, 2, 3], [0.5, 1.0, 0.1]), "teacher": ([1, 2], [0.7, 0.8])}
    first, second, *_ = curves(series, "accuracy", marks={"student stage": 2}).axes[0].lines
    assert first.get_ydata()[[0, 1, 3]].tolist() == [0.5, 1.0, 0.1]
    assert first.get_ydata()[2] != first.get_ydata()[2]
    assert second.get_ydata().tolist() == [0.7, 0.8]


def test_an_interval_that_holds_the_reference_is_pale():
    axes = intervals({"clear": (2.0, 1.0), "unclear": (0.5, 1.0), "lone": (3.0, None)}, "x").axes[0]
    shades = [to_hex(container.lines[0].get_color()) for container in axes.containers]
    assert shades[0] != shades[1] == shades[2]


def test_pca_finds_the_directions_of_most_variance_and_draws_no_random_numbers():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(50, 6, generator=generator) * torch.tensor([1, 9, 1, 1, 4, 1.0])
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    plane = project(rows)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(plane, project(rows))
    centred = rows - rows.mean(0)
    singular = torch.linalg.svdvals(centred)[:2]
    torch.testing.assert_close(plane.norm(dim=0), singular)


def test_tsne_keeps_two_clusters_apart():
    rows = torch.cat([torch.randn(12, 5), torch.randn(12, 5) + 40])
    plane = project(rows, "tsne")
    first, second = plane[:12], plane[12:]
    within = (first - first.mean(0)).norm(dim=1).max()
    assert (first.mean(0) - second.mean(0)).norm() > within


@pytest.mark.parametrize("shape", [(1, 4), (2, 1), (3, 4)])
def test_few_embeddings_are_drawn_too(shape):
    figure = embedding_map({"student": torch.randn(shape)}, torch.zeros(shape[0]).long(), ["one"])
    assert len(figure.axes[0].collections[0].get_offsets()) == shape[0]


def test_an_embedding_map_has_a_panel_a_network_and_leaves_out_what_is_not_finite():
    points = torch.randn(6, 4)
    points[5] = torch.nan
    labels = torch.tensor([0, 1, 0, 1, 1, 1])
    figure = embedding_map({"student": points, "teacher": torch.randn(6, 4)}, labels, NAMES)
    assert [axes.get_title() for axes in figure.axes] == ["student", "teacher"]
    assert [len(c.get_offsets()) for c in figure.axes[0].collections] == [2, 3]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["cat", "dog"]
    with pytest.raises(ValueError, match="'student' needs embeddings"):
        embedding_map({"student": points}, labels[:2], NAMES)


def test_a_gallery_marks_hits_and_misses_by_words():
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    hits = [Thumbnail(image, "dog 2", True), Thumbnail(None, "cat 3", False)]
    figure = retrieval_gallery([GalleryRow(Thumbnail(image, "dog 1", None), hits)])
    assert [axes.get_title() for axes in figure.axes] == ["query", "hit", "miss"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["dog 1", "dog 2", "cat 3"]


def test_samples_of_every_kind_of_modality_are_drawn():
    tensors = {
        "video": torch.randn(2, 3, 9, 8, 8),
        "image": torch.randn(2, 1, 8, 8),
        "audio": torch.randn(2, 1, 4000),
        "text": torch.randn(2, 7, 5),
        "face": torch.randn(2, 6),
    }
    figure = samples(tensors, ["first", "second"])
    shown = [axes.images[0].get_array().shape for axes in figure.axes]
    # Six frames beside each other; frequencies by time; a sequence upright; a vector as a row.
    assert shown[0] == (8, 48, 3)
    assert shown[2] == (8, 8, 3)
    assert shown[4][0] == 129
    assert shown[6] == (5, 7)
    assert shown[8] == (1, 6)
    with pytest.raises(ValueError, match="'video' has shape"):
        samples(tensors, ["one"])


def test_pictures_are_stretched_and_a_film_keeps_its_changes_of_light():
    assert picture(torch.tensor([[[-1.0, 3.0]]])).tolist() == [[[0, 255]]] * 3
    film = torch.stack([torch.full((3, 2, 2), level) for level in (0.0, 1.0, 2.0)], dim=1)
    assert frames(film)[:, 0, 0, 0].tolist() == [0, 128, 255]
    assert len(frames(film.repeat(1, 4, 1, 1), most=5)) == 5


def test_a_spectrogram_has_a_tone_at_its_frequency():
    time = torch.arange(8000) / 8000
    loudest = spectrogram(torch.sin(2 * torch.pi * 1000 * time)[None]).mean(1).argmax()
    assert int(loudest) == 1000 * 256 // 8000


def test_an_svg_for_a_page_has_the_pages_colour_and_ids_of_its_own(tmp_path):
    made = {
        "one": confusion_matrix(COUNTS, NAMES),
        "two": curves({"$a_1$": ([1, 2], [1, 2])}, "loss"),
    }
    first, second = (inline_svg(save_figure(f, tmp_path, name), name) for name, f in made.items())
    assert first.startswith("<svg")
    assert "currentColor" in first
    assert INK not in first + second
    assert "&lt;fox&gt;" in first
    assert "$a_1$" in second
    for svg in (first, second):
        ids = re.findall(r'\bid="([^"]*)"', svg)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg)) <= set(ids)
        assert "height=" not in svg.split(">", 1)[0]
    shared = set(re.findall(r'\bid="([^"]*)"', first)) & set(re.findall(r'\bid="([^"]*)"', second))
    assert not shared


def test_saving_writes_both_formats_the_same_each_time_and_opens_no_pyplot_figure(tmp_path):
    from matplotlib import pyplot

    for folder in ("a", "b"):
        save_figure(confusion_matrix(COUNTS, NAMES), tmp_path / folder, "matrix")
    assert (tmp_path / "a" / "matrix.png").read_bytes().startswith(b"\x89PNG")
    svgs = [(tmp_path / folder / "matrix.svg").read_text() for folder in ("a", "b")]
    assert svgs[0] == svgs[1]
    assert pyplot.get_fignums() == []
