"""Where figures go: a file in the run's folder, and the loggers that can show it."""

from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from cmkd.callbacks.step_values import batches_begun
from cmkd.wandb_logger import PanelLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def log_figure(trainer: Trainer, figure: "Figure", name: str, epoch: int) -> Path:
    """Write ``figures/epoch_<epoch>/<name>.png`` and give it to W&B and TensorBoard.

    Args:
        trainer: whose run it is.
        figure: made by :mod:`cmkd.figures`.
        name: of the figure; W&B and TensorBoard show it as ``figures/<name>``.
        epoch: that it shows.

    Returns:
        The file.
    """
    path = Path(trainer.default_root_dir) / "figures" / f"epoch_{epoch:03d}" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    tag, step = f"figures/{name}", batches_begun(trainer)
    for logger in trainer.loggers:
        if isinstance(logger, PanelLogger):
            logger.log_image(tag, [str(path)], step, caption=[f"epoch {epoch}"])
        elif isinstance(logger, TensorBoardLogger):
            import numpy as np
            from PIL import Image

            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            logger.experiment.add_image(tag, pixels, step, dataformats="HWC")
    return path
