"""``train``: an agent on a pretrained backbone, from its start or from where it was interrupted."""

from __future__ import annotations

from backbone.common import ranks
from experiments.command_line import PROGRAM
from experiments.config import Train, TrainCommand
from experiments.run import Run
from experiments.train import resume_training, train


def run(options: TrainCommand) -> None:
    """Write a run's folder."""
    if options.resume is not None:
        folder = resume_training(options.resume)
    else:
        config = Train(**{name: getattr(options, name) for name in Train.__dataclass_fields__})
        folder = train(config, resume=ranks.restarted() and Run(config.folder).exists)
    print(f"Run finished in {folder}. Judge it: {PROGRAM} evaluate {folder}")
