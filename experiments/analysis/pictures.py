"""What all pictures of results share: a drawing library without a screen, colours, and how a figure becomes a file."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from backbone.common.files import write_whole

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE, BLACK = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#000000",
)
"""Colours of Okabe and Ito, which the colour-blind can tell apart."""


def save_figure(figure: Figure, path: Path, *, dpi: int = 150, tight: bool = True) -> None:
    """Write a PNG, whole or not at all, and close the figure.

    :param tight: crop to what is drawn, legends beside the axes included
    """
    box = "tight" if tight else None
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=dpi, bbox_inches=box))
    plt.close(figure)


def write_picture(pixels: np.ndarray, path: Path) -> None:
    """Write uint8 (H, W, 3) as a PNG, whole or not at all."""
    write_whole(path, lambda file: Image.fromarray(pixels).save(file, format="PNG"))
