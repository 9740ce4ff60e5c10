"""``make-motions``: a benchmark of any footage, in which only time tells the class."""

from __future__ import annotations

import shlex

from backbone.common.interruption import Interrupted
from envs.clips.generated.camera import Camera
from envs.clips.generated.windows import generate
from experiments.command_line import PROGRAM
from experiments.config import Data, MakeMotions


def run(options: MakeMotions) -> None:
    """Make it; say in words what it is, and what to do next."""
    print(make_motions(options))


def make_motions(options: MakeMotions) -> str:
    """What was made, and the next command."""
    names = ("size", "num_frames", "speed", "jitter", "noise", "still")
    camera = Camera(**{name: getattr(options, name) for name in names})
    try:
        words = generate(
            options.out,
            options.footage,
            camera=camera,
            train=options.train,
            val=options.val,
            test=options.test,
            groups=options.groups,
            seed=options.seed,
        )
    except KeyboardInterrupt:
        raise Interrupted from None
    return f"{words}\nNext: {_next(options)}"


def _next(options: MakeMotions) -> str:
    command = [PROGRAM, "pretrain", "--data.root", shlex.quote(str(options.out)), "--data.size", str(options.size)]
    if options.num_frames != Data.num_frames:
        command += ["--data.num-frames", str(options.num_frames)]
    return " ".join([*command, "--run", shlex.quote(f"runs/{options.out.name}")])
