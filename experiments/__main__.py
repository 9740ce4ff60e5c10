"""``python -m experiments COMMAND``: the command line, derived from the dataclasses of ``experiments.config``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agent.callbacks import Interrupted
from experiments import config


@dataclass(frozen=True)
class TrainCommand(config.Train):
    """Train an agent on a frozen, pretrained backbone."""

    resume: Path | None = None
    """Folder of an interrupted run to go on with, as it was configured; other options are ignored."""


def run_pretrain(options: config.Pretrain) -> None:
    from experiments.pretrain import pretrain

    pretrain(options)


def run_train(options: TrainCommand) -> None:
    from experiments.train import resume_training, train

    if options.resume is not None:
        folder = resume_training(options.resume)
    else:
        names = config.Train.__dataclass_fields__
        folder = train(config.Train(**{name: getattr(options, name) for name in names}))
    print(f"Run finished in {folder}. Judge it: python -m experiments evaluate {folder}")


def run_evaluate(options: config.Evaluate) -> None:
    from experiments.evaluate import evaluate_run

    print(evaluate_run(options))


def run_compare(options: config.Compare) -> None:
    from experiments.compare import compare

    compare(options)


def run_bench(options: config.Bench) -> None:
    from experiments.bench import bench

    bench(options)


COMMANDS: dict[str, tuple[type, Callable]] = {
    "pretrain": (config.Pretrain, run_pretrain),
    "train": (TrainCommand, run_train),
    "evaluate": (config.Evaluate, run_evaluate),
    "compare": (config.Compare, run_compare),
    "bench": (config.Bench, run_bench),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if all went well, 1 after an error that one sentence explains, 130 after Ctrl-C."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    kinds = [Annotated[kind, tyro.conf.subcommand(name)] for name, (kind, _) in COMMANDS.items()]
    options = tyro.cli(
        Annotated[_union(kinds), tyro.conf.ConsolidateSubcommandArgs],
        prog="python -m experiments",
        description="Adaptive temporal fusion of video CNNs as reinforcement learning.",
        args=arguments,
    )
    run = next(run for kind, run in COMMANDS.values() if type(options) is kind)
    try:
        run(options)
    except Interrupted:
        print(f"\nStopped; nothing is lost. To go on: {_how_to_resume(options)}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nStopped at once; the last checkpoint is intact.", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _union(kinds: list) -> object:
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union


def _how_to_resume(options: object) -> str:
    if isinstance(options, TrainCommand):
        folder = (
            options.resume
            or options.run
            or Path("runs") / (f"{options.method}-w{options.cost_weight:g}-s{options.seed}")
        )
        return f"python -m experiments train --resume {folder}"
    if isinstance(options, config.Pretrain):
        return "the same command with --resume"
    return "the same command again"


if __name__ == "__main__":
    sys.exit(main())
