"""``python -m experiments COMMAND``: the command line, derived from the dataclasses of ``experiments.config``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.callbacks.checkpoints import Interrupted
from experiments import config
from experiments.bench import bench
from experiments.command_line import parse
from experiments.comparison.compare import compare
from experiments.describe import describe
from experiments.doctor import doctor
from experiments.evaluate import evaluate_run
from experiments.gradients.command import gradients
from experiments.import_adafuse import import_adafuse
from experiments.inspecting.command import inspect
from experiments.pretrain import pretrain
from experiments.probing.probe import probe
from experiments.report import report
from experiments.train import resume_training, train
from experiments.tuning.command import tune
from experiments.videos.check_data import check_data
from experiments.videos.flips import list_flips
from experiments.videos.predict import predict


@dataclass(frozen=True)
class TrainCommand(config.Train):
    """Train an agent on a pretrained backbone, frozen or learning too."""

    resume: Path | None = None
    """Folder of an interrupted run to go on with, as it was configured; other options are ignored."""


def run_train(options: TrainCommand) -> None:
    if options.resume is not None:
        folder = resume_training(options.resume)
    else:
        folder = train(config.Train(**{name: getattr(options, name) for name in config.Train.__dataclass_fields__}))
    print(f"Run finished in {folder}. Judge it: python -m experiments evaluate {folder}")


def run_import(options: config.Import) -> None:
    folder = import_adafuse(options)
    print(f"Imported into {folder}. Judge it: python -m experiments evaluate {folder}")


# A command that judges returns its exit code; what the others return is for their callers in Python.
COMMANDS: dict[str, tuple[type, Callable]] = {
    "pretrain": (config.Pretrain, pretrain),
    "train": (TrainCommand, run_train),
    "evaluate": (config.Evaluate, lambda options: print(evaluate_run(options))),
    "probe": (config.Probe, lambda options: print(probe(options))),
    "predict": (config.Predict, predict),
    "inspect": (config.Inspect, inspect),
    "import": (config.Import, run_import),
    "describe": (config.Describe, describe),
    "compare": (config.Compare, compare),
    "tune": (config.Tune, lambda options: print(tune(options))),
    "report": (config.Report, report),
    "bench": (config.Bench, bench),
    "gradients": (config.Gradients, gradients),
    "check-data": (config.CheckData, check_data),
    "flips": (config.Flips, list_flips),
    "doctor": (config.Doctor, doctor),
}

DESCRIPTION = """Adaptive temporal fusion of video CNNs as reinforcement learning.

First time here: doctor says whether all is there, compare --preset quick shows everything in a minute. COMMAND --help
explains every option."""

EXAMPLES = {
    "pretrain": "pretrain --architecture resnet_small --clips 80000",
    "train": "train --method ppo --cost-weight 1",
    "evaluate": "evaluate runs/ppo-w1-s0",
    "probe": "probe runs/ppo-w1-s0 runs/static-w1-s0",
    "predict": "predict data/eight-motions/test/00000.mp4 --run runs/ppo-w1-s0",
    "inspect": "inspect runs/ppo-w1-s0 --failures",
    "import": "import sthv1_adatsn50.pth.tar --data.root something-v1",
    "describe": "describe resnet50 --temporal tsm",
    "compare": "compare --preset quick",
    "tune": "tune --methods reinforce ppo",
    "report": "report runs/compare --out runs/again",
    "bench": "bench environment",
    "gradients": "gradients --preset quick",
    "check-data": "check-data my_videos --workers 4",
    "flips": "flips my_videos",
    "doctor": "doctor",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if all went well, 1 after an error that one sentence explains, 130 after Ctrl-C.

    check-data and doctor give 1 as well if they found something wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    kinds = {name: kind for name, (kind, _) in COMMANDS.items()}
    options = parse(kinds, arguments, description=DESCRIPTION, examples=EXAMPLES)
    run = next(run for kind, run in COMMANDS.values() if type(options) is kind)
    try:
        code = run(options)
    except Interrupted:
        print(f"\nStopped; nothing is lost. To go on: {_how_to_resume(options)}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nStopped at once; what was written before is intact.", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0


def _how_to_resume(options: object) -> str:
    if isinstance(options, TrainCommand):
        return f"python -m experiments train --resume {options.resume or options.folder}"
    if isinstance(options, config.Pretrain):
        return "the same command with --resume"
    return "the same command again"


if __name__ == "__main__":
    sys.exit(main())
