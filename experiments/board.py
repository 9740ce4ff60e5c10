"""What TensorBoard shows of a run beside its curves: custom scalars, HPARAMS, results on test clips.

Every tag is explained in tensorboard.md, which a test holds against the tags that runs really write.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from stable_baselines3.common.logger import HParam, Logger, TensorBoardOutputFormat

from envs.rendering.confusion import draw_confusion
from experiments.analysis.confusion import to_matrix
from experiments.config import Train
from experiments.events import Events
from experiments.judgement import Judgement

_QUESTION = "policy gradient vs relaxation"

LAYOUT: dict[str, dict[str, list]] = {
    f"{_QUESTION}: accuracy and cost": {
        "accuracy % of the greedy policy, validation clips": ["Multiline", ["validation/accuracy$"]],
        "cost of the greedy policy, validation clips": ["Multiline", ["validation/cost$"]],
        "accuracy % of sampled and greedy decisions": ["Multiline", ["rollout/accuracy$", "validation/accuracy$"]],
        "cost of sampled and greedy decisions": ["Multiline", ["rollout/cost$", "validation/cost$"]],
    },
    f"{_QUESTION}: what is decided": {
        f"{decision} at each site": ["Multiline", [f"decisions/.+/{decision}$"]]
        for decision in ("use", "reuse", "skip")
    },
    f"{_QUESTION}: how it is learned": {
        "noise of successive gradients": ["Multiline", ["train/gradient_noise$"]],
        "norm of the gradient": ["Multiline", ["train/gradient_norm$"]],
        "entropy of a decision, nats": ["Multiline", ["train/entropy$"]],
        "rollouts a second": ["Multiline", ["time/rollouts_per_second$"]],
    },
}
"""TensorBoard's CUSTOM SCALARS: category -> chart -> [kind, tags as regular expressions], over all runs that are chosen."""

HPARAMS = ("method", "cost_weight", "seed", "group_size", "reward")  # as many as TensorBoard shows at first
METRICS = ("validation/accuracy", "validation/cost", "test/accuracy", "test/cost")


class Board(TensorBoardOutputFormat):
    """TensorBoard's writer of stable-baselines3; ``from_step`` drops what an interrupted run wrote beyond it."""

    def __init__(self, folder: Path, from_step: int) -> None:
        self.writer = Events(folder, purge_step=from_step + 1 if from_step else None)
        self._is_closed = False
        if not from_step:
            self.writer.add_custom_scalars(LAYOUT)  # into every run: TensorBoard shows equal layouts once


def open_logger(folder: Path, *, from_rollouts: int = 0) -> Logger:
    """stable-baselines3's logger into TensorBoard.

    :param from_rollouts: of a resumed run; what TensorBoard has beyond is dropped
    """
    return Logger(str(folder), [Board(folder, from_rollouts)])


def log_hparams(logger: Logger, config: Train, *, rollouts: int) -> None:
    """A run's settings, and which of its curves are its metrics; those on test clips come when it is judged.

    :param rollouts: played in training
    """
    hparams = {name: getattr(config, name) for name in HPARAMS}
    names = dict.fromkeys(METRICS, 0.0)  # their values are those of the curves
    logger.record("hparams", HParam(hparams, names), exclude=("stdout", "log", "json", "csv"))
    logger.dump(step=rollouts)


def log_test(folder: Path, judgement: Judgement, *, rollouts: int) -> None:
    """Accuracy and cost on test clips, as a point of the run, and what clips of each class were taken for, as a picture.

    :param rollouts: played in training
    """
    with Events(folder) as writer:
        for name in ("accuracy", "class_accuracy", "cost"):
            writer.add_scalar(f"test/{name}", judgement.figures[judgement.selection][name].mean, rollouts)
        writer.add_image("test/confusion", confusion_picture(judgement), rollouts, dataformats="HWC")


def confusion_picture(judgement: Judgement) -> np.ndarray:
    """The confusion matrix of a judgement, uint8 (H, W, 3)."""
    title = f"{judgement.selection} on {judgement.clips} clips of {judgement.split}: a row for each class"
    return draw_confusion(to_matrix(judgement.confusion), list(judgement.confusion), title=title)
