"""``train``: an agent on a pretrained backbone, from its start or from where it was interrupted."""

from __future__ import annotations

from experiments.command_line import PROGRAM
from experiments.config import Train, TrainCommand
from experiments.train import resume_training, train


def run(options: TrainCommand) -> None:
    """Write a run's folder."""
    if options.resume is not None:
        folder = resume_training(options.resume)
    else:
        folder = train(Train(**{name: getattr(options, name) for name in Train.__dataclass_fields__}))
    print(f"Run finished in {folder}. Judge it: {PROGRAM} evaluate {folder}")
