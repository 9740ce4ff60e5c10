"""Options of the commands that look at what was trained: ``evaluate``, ``probe``, ``inspect``, ``predict``, ``import``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.config.data import Data
from experiments.config.ranges import Batch
from experiments.config.shared import JsonOutput, Plugins, Runs, Split, Threads, shared_last


@shared_last
@dataclass(frozen=True)
class Evaluate(Split, Runs, Threads):
    """Judge a trained agent on a split: accuracy, cost, decisions, pairs, swap test."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a training run."""
    selection: Literal["greedy", "sampled", "top_k"] = "greedy"
    """The likeliest decision of each channel; or sampled ones; or at each site and frame as many of each kind as the
    probabilities say, where they are the likeliest."""
    clips: Batch = 1
    """Clips of each video, whose scores are averaged with those of the crops."""
    crops: Literal[1, 3] = 1
    """Crops of each frame: its centre, or three along its longer side."""
    accounting: Literal["causal", "adafuse"] = "causal"
    """Print the cost as AdaFuse's code counts it too, with its errors, to set published figures beside ours."""
    best: bool = False
    """Judge the run as it was at its highest reward on validation clips, in place of its end."""
    skip_broken: bool = False
    """Evaluate without the videos that cannot be read, and say how many."""
    recalibrate: bool = False
    """Estimate the CNN's BatchNorm statistics anew on training clips first: for a run that was trained on frozen ones, or whose
    decisions on these clips are others."""


@shared_last
@dataclass(frozen=True)
class Probe(Split, Runs, Threads):
    """Find out what trained agents learned: swap test, how decisions vary and what that is worth, difficulty of clips."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of training runs; probes.json and probes.png are written there. An agent is set against the best blind policy
    of its seed: the hull of all static runs among these of the same backbone, regime, groups and number of rollouts, each
    judged greedily, sampled, and by the top k."""
    out: Path | None = None
    """Folder for probes.json, probes.npz (what each run did with each clip) and probes.md of all runs together, over seeds."""


@shared_last
@dataclass(frozen=True)
class Inspect(Split, Runs, Threads):
    """Look into finished runs: episodes of chosen clips as pictures and animations, in TensorBoard, and on one page with
    results and learning curves that any browser opens without a network."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of training runs, or of a comparison (one run a method is played); RUN/inspect is written, and replaced."""
    label: tuple[str, ...] = ()
    """Classes whose first clips are played. Without this, failures, cheapest, dearest and paths: the choice of training's
    TensorBoard, three fixed clips, a failure, the cheapest and the dearest."""
    failures: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Clips classified wrongly, those first whose label is the least probable."""
    cheapest: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Clips of the least cost."""
    dearest: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Clips of the most cost."""
    paths: tuple[Path, ...] = ()
    """Videos of your own, sampled as the run samples its own."""
    count: Batch | None = None
    """Clips of each kind; by default four."""


@shared_last
@dataclass(frozen=True)
class Predict(JsonOutput, Runs, Threads):
    """Classify a video, or every video of a folder: classes, cost, decisions; with a picture of each frame."""

    video: Annotated[Path, tyro.conf.Positional]
    """A video, or a folder in which all videos are classified."""
    run: Path
    """Folder of a training run, or of an imported one."""
    top: Batch = 5
    """Classes to name, the most probable first."""
    overlay: Path | None = None
    """Video to write of one video: its frames beside decisions and prediction; by default RUN/predictions/NAME.mp4."""
    no_overlay: bool = False
    """Write no such video."""
    stream: bool = False
    """Run one video frame by frame, skipping what is not asked for (on the CPU), and print the time that this takes beside
    the counted cost."""
    csv: Path | None = None
    """Table to write of a folder, by default RUN/predictions.csv; what it holds already is not repeated."""


@shared_last
@dataclass(frozen=True)
class Import(Plugins):
    """Take over a checkpoint of AdaFuse's own code as a run, to `evaluate` it on your videos."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Its file, such as sthv1_adatsn50.pth.tar."""
    run: Path = Path("runs/imported")
    """Folder to write."""
    temporal: Literal["tsn", "tsm-adafuse"] | None = None
    """Whether it was trained with --shift, which its weights do not tell; by default tsm-adafuse if the file's name
    contains tsm."""
    classes: Path | None = None
    """Names of its classes in the order of its logits, one a line; by default that of the videos' labels."""
    data: Data = field(default_factory=lambda: Data(size=224, margin=32))
    """The videos to evaluate on."""
