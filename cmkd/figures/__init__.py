"""Figures of a run, for dashboards and reports; they need matplotlib (``pip install cmkd[plots]``).

Each function returns a figure of matplotlib's that pyplot knows nothing of.
"""

from cmkd.figures.classes import confusion_matrix, count_confusions, per_class_accuracy
from cmkd.figures.curves import curves, intervals
from cmkd.figures.embedding import embedding_map
from cmkd.figures.gallery import GalleryRow, Thumbnail, retrieval_gallery
from cmkd.figures.samples import frames, picture, samples, spectrogram
from cmkd.figures.style import inline_svg, save_figure

__all__ = [
    "GalleryRow",
    "Thumbnail",
    "confusion_matrix",
    "count_confusions",
    "curves",
    "embedding_map",
    "frames",
    "inline_svg",
    "intervals",
    "per_class_accuracy",
    "picture",
    "retrieval_gallery",
    "samples",
    "save_figure",
    "spectrogram",
]
