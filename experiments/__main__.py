"""``adafuse-rl COMMAND`` or ``python -m experiments COMMAND``: the table of contents of all that a user runs."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple

from backbone.common import ranks
from backbone.common.interruption import Interrupted
from backbone.common.naming import printable
from experiments import config
from experiments.command_line import PROGRAM, parse
from experiments.config.shared import Runs


class Command(NamedTuple):
    """One command.

    :param options: dataclass from which its part of the command line is derived
    :param file: of experiments/commands, has ``run(options)``, and is imported when the command runs, so that help needs no
        torch. A command that judges returns its exit code
    :param example: a command line that its help shows
    """

    options: type
    file: str
    example: str


COMMANDS = {
    "pretrain": Command(config.Pretrain, "pretrain", "pretrain --architecture resnet_small --clips 80000"),
    "train": Command(config.TrainCommand, "train", "train --method ppo --cost-weight 1"),
    "evaluate": Command(config.Evaluate, "evaluate", "evaluate runs/ppo-w1-s0"),
    "probe": Command(config.Probe, "probe", "probe runs/ppo-w1-s0 runs/static-w1-s0"),
    "predict": Command(config.Predict, "predict", "predict data/eight-motions/test/00000.mp4 --run runs/ppo-w1-s0"),
    "inspect": Command(config.Inspect, "inspect", "inspect runs/ppo-w1-s0 --failures"),
    "import": Command(config.Import, "import_checkpoint", "import sthv1_adatsn50.pth.tar --data.root something-v1"),
    "describe": Command(config.Describe, "describe", "describe resnet50 --temporal tsm"),
    "compare": Command(config.Compare, "compare", "compare --preset quick"),
    "tune": Command(config.Tune, "tune", "tune --methods reinforce ppo"),
    "report": Command(config.Report, "report", "report runs/compare --out runs/again"),
    "bench": Command(config.Bench, "bench", "bench environment"),
    "gradients": Command(config.Gradients, "gradients", "gradients --preset quick"),
    "make-motions": Command(
        config.MakeMotions, "make_motions", "make-motions --footage my_videos --out data/window-motions"
    ),
    "check-data": Command(config.CheckData, "check_data", "check-data my_videos --workers 4"),
    "flips": Command(config.Flips, "flips", "flips my_videos"),
    "doctor": Command(config.Doctor, "doctor", "doctor"),
}

DESCRIPTION = """Adaptive temporal fusion of video CNNs as reinforcement learning.

First time here: doctor says whether all is there, compare --preset quick shows everything in a minute. COMMAND --help
explains every option."""


def parse_command(arguments: list[str] | None = None) -> tuple[Command, object]:
    """The command that was asked for, and its options.

    :param arguments: by default those of this process
    :raises SystemExit: 0 after --help; 2 after an explanation of what cannot be parsed
    """
    kinds = {name: command.options for name, command in COMMANDS.items()}
    examples = {name: command.example for name, command in COMMANDS.items()}
    options = parse(kinds, arguments, description=DESCRIPTION, examples=examples)
    return next(command for command in COMMANDS.values() if type(options) is command.options), options


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if all went well, 1 after an error that one sentence explains, 130 after Ctrl-C.

    check-data and doctor give 1 as well if they found something wrong, predict if some videos of a folder cannot be used.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path need not be text
    command, options = parse_command(arguments)
    try:
        if isinstance(options, Runs):
            import_module("experiments.machine").trust_runs(options)
        with joined(command, options):
            code = import_module(f"experiments.commands.{command.file}").run(options)
    except Interrupted:
        print(f"\nStopped; nothing is lost. To go on: {_how_to_resume(options)}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nStopped at once; what was written before is intact.", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print("Error:", "\n".join(map(printable, str(error).split("\n"))), file=sys.stderr)
        return 1
    return code or 0


@contextmanager
def joined(command: Command, options: Any) -> Iterator[None]:
    """As one rank of a run, where torchrun has started several; only the first of them prints.

    :raises ValueError: a command that knows no ranks
    """
    if ranks.launched() == 1:
        yield
        return
    if command.options not in (config.Pretrain, config.TrainCommand):
        raise ValueError(
            f"expected pretrain or train under torchrun, got {command.file}: start it by python -m experiments; compare "
            "spreads its jobs by --executor"
        )
    from experiments.machine import settle_device

    ranks.start("nccl" if settle_device(options.device) == "cuda" else "gloo")
    with open(os.devnull, "w") as nowhere, nullcontext() if ranks.first() else redirect_stdout(nowhere):
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[0][:200]
            raise ValueError(
                f"rank {ranks.rank()} of {ranks.count()} stops: {reason}. If it lost the others, one of them has died, and "
                "says why; what was saved is intact, and --resume, or torchrun's --max-restarts, goes on from there"
            ) from error
    ranks.leave()


def _how_to_resume(options: object) -> str:
    if isinstance(options, config.TrainCommand):
        return f"{PROGRAM} train --resume {options.resume or options.folder}"
    if isinstance(options, config.Pretrain):
        return "the same command with --resume"
    return "the same command again"


def adafuse_rl() -> int:
    """The console script: plugins are found in the working folder, as ``python -m`` finds them, but behind what is installed."""
    sys.path.append(os.getcwd())
    return main()


if __name__ == "__main__":
    sys.exit(main())
