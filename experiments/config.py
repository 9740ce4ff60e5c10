"""Every option of every command, with a sentence each: the command line is derived from these dataclasses."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from experiments.tuned import tuned

T = TypeVar("T")

Device = Literal["auto", "cpu", "cuda"]

EMBEDDED: dict[Path, dict[str, int]] = {
    Path("data/eight-motions"): {},
    Path("data/eight-motions-quick"): {"train": 4_000, "val": 200, "test": 200},  # the first clips of the others
}
"""Folders of the embedded data, generated where they are missing: clips in each split, where they are not the usual."""

DEFAULT_ROOT, QUICK_ROOT = EMBEDDED


@dataclass(frozen=True)
class Data:
    """Which videos, and how clips are cut from them."""

    root: Path = DEFAULT_ROOT
    """Folder of videos with train.txt, val.txt, test.txt (lines "path label"), or with one folder per class. The
    embedded data set is generated where the default is missing."""
    num_frames: int = 8
    """Frames T in a clip: one from each of T equal segments of the video."""
    size: int = 32
    """Frames are scaled and cropped to size x size pixels."""
    margin: int = 0
    """Extra pixels kept around the crop, in which training crops at random."""
    skip_broken: bool = False
    """Evaluate without the videos that cannot be read (training always goes on without them, and says so)."""
    cache: Path | None = None
    """Folder for decoded clips; by default beside the videos."""
    cache_gb: float = 8.0
    """What decoded clips may take there, in GB, all sets of them together; 0 keeps none. What does not fit is read
    from the videos each time."""
    workers: int = 0
    """Processes that read clips ahead while the CNN computes; 0 reads them when they are needed."""
    layout: str | None = None
    """Name of the folder's layout, such as something_v2 or ucf101_2; recognised where it is left out."""
    crop: Literal["random", "multi_scale"] = "random"
    """How training crops: size x size pixels of what the margin leaves, or TSN's multi-scale crop."""
    sampling: Literal["segments", "dense"] = "segments"
    """T frames from T equal segments of the video, or from a window of 64 consecutive frames (not cached)."""
    short: Literal["error", "repeat"] = "error"
    """What to do with a video of fewer than T frames: call it broken, or repeat frames (not cached)."""
    flip: Literal["off", "swap", "skip"] = "off"
    """Mirror every second clip in training: swap exchanges the labels of classes like left and right, skip leaves the
    clips of such classes alone."""


@dataclass(frozen=True)
class Pretrain:
    """Train a backbone so that, frozen, it can exploit reuse and bear skips (fusion-aware pretraining)."""

    data: Data = field(default_factory=Data)
    architecture: str = "resnet_small"
    """Name of the CNN: resnet_small, resnet18, resnet34, resnet50, resnet101, bn_inception, mobilenet_v2, or one you
    registered."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="imagenet|PATH")] = None
    """Weights to start from: imagenet downloads torchvision's; or a local file of torchvision, TSN, TSM or `pretrain`."""
    sites: Annotated[list[str], tyro.conf.arg(metavar="all|both|last_stage|NAME ...")] = field(
        default_factory=lambda: ["all"]
    )
    """Where the agent will decide: all blocks, both sites of every Bottleneck, the last stage, or stages and blocks by
    name (layer3, layer4.0, layer4.0.conv2 ...)."""
    history: Literal["raw", "fused"] = "raw"
    """What reuse reads: the previous frame's own output (the paper), or what that frame passed on."""
    temporal: Literal["tsn", "tsm", "tsm-stream"] = "tsn"
    """Frames on their own, TSM's two-way shift (needs the site order), or its one-way shift for streams."""
    consensus: Literal["mean", "lstm"] = "mean"
    """From frames to a clip: the mean of their logits, or an LSTM over their features."""
    lstm_hidden: int = 512
    """Units of that LSTM."""
    clips: int = 80_000
    """Clips seen in training."""
    batch_size: int = 64
    """Clips in an update."""
    learning_rate: float = 0.04
    """Peak of the cosine schedule of SGD with Nesterov momentum."""
    weight_decay: float = 5e-4
    """L2 penalty on the weights."""
    seed: int = 0
    """Of initial weights, clip order and decisions."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""
    plugin: tuple[str, ...] = ()
    """Python modules to import first, which register backbones of your own."""
    run: Path = Path("runs/backbone")
    """Folder to write: backbone.pt, config.json, TensorBoard events."""
    resume: bool = False
    """Go on with the interrupted run in that folder."""


@dataclass(frozen=True)
class Train:
    """Train an agent on a pretrained backbone, frozen or learning too."""

    backbone: Path = Path("runs/backbone/backbone.pt")
    """File that `pretrain` wrote."""
    data: Data = field(default_factory=Data)
    method: str = "gumbel"
    """gumbel, reinforce, ppo, rebar, static (learned, ignores its input), or any other of experiments/methods.py, or one
    you registered."""
    rollouts: int = 24_000
    """Rollouts played in training. Policy gradients play several of each clip they draw; other methods pass each once."""
    cost_weight: float = 1.0
    """Reward that a densely computed clip costs."""
    warmup: float | None = None
    """Share of training over which the cost weight rises from zero; by default the method's own (experiments/tuned.py)."""
    reward: Literal["log_prob", "correctness"] = "log_prob"
    """Outcome of an episode: log-probability of the true class, or 1 if the class is right."""
    order: Literal["site", "frame"] = "site"
    """A step of policy gradients decides a site for the whole clip, or for one frame."""
    group_size: int = 1
    """Channels that share one decision."""
    num_clips: int | None = None
    """Clips in a batch of rollouts of policy gradients; by default the method's own (experiments/tuned.py)."""
    rollouts_per_clip: int = 8
    """Rollouts of each; leave-one-out compares them."""
    n_epochs: int | None = None
    """Passes of ppo over a batch of rollouts, in two minibatches each; by default the method's own (experiments/tuned.py)."""
    batch_size: int | None = None
    """Clips in an update of the other methods; by default the method's own (experiments/tuned.py)."""
    learning_rate: float | None = None
    """Peak of Adam's warm-up and cosine schedule; by default the method's own (experiments/tuned.py)."""
    regime: Literal["frozen", "joint"] = "frozen"
    """Leave the CNN as it was pretrained, or let it learn beside the agent, from the same clips."""
    cnn_learning_rate: float = 4e-3
    """Joint regime: peak of the warm-up and cosine schedule of the CNN's SGD."""
    start: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder of a run whose agent's weights, and CNN if it has its own, training starts from."""
    cost_gradient: Literal["exact", "sampled"] | None = None
    """Differentiate each step's own expected cost exactly, or leave it to the sampled decisions. By default exact for
    policy gradients and rebar, sampled for relaxations (AdaFuse)."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus of reinforce, ppo and rebar, per decision in nats."""
    hidden: int = 32
    """Hidden units of a gate."""
    hidden_quota: int | None = None
    """In place of hidden: hidden units times decisions of a site (AdaFuse: 196608), so that wide sites get few units."""
    gate_norm: Literal["layer", "batch"] = "layer"
    """LayerNorm of a gate's input, or BatchNorm of its hidden units (AdaFuse)."""
    shared_gates: bool = False
    """Gates of equal input and output sizes share their linear layers (AdaFuse's code)."""
    reuse: bool = True
    """Whether the agent may reuse; --no-reuse leaves it use and skip, a probe of what passes through its decisions."""
    seed: int = 0
    """Of the agent's initial weights, its samples and the order of clips."""
    evaluate_every: int = 4_000
    """Rollouts between evaluations on validation clips; each also saves a checkpoint and draws episodes."""
    validation_clips: int = 500
    """Validation clips in each of those evaluations."""
    threads: int = 1
    """CPU threads."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""
    plugin: tuple[str, ...] = ()
    """Python modules to import first, which register methods or backbones of your own."""
    run: Path | None = None
    """Folder to write; by default runs/METHOD-wWEIGHT-sSEED."""

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.run or Path("runs") / f"{self.method}-w{self.cost_weight:g}-s{self.seed}"

    def settled(self) -> Train:
        """The same with every option that was left out set to what was chosen for the method."""
        settings = tuned(self.method, self.group_size)
        return replace(self, **{name: value for name, value in settings.items() if getattr(self, name) is None})


@dataclass(frozen=True)
class Evaluate:
    """Judge a trained agent on a split: accuracy, cost, decisions, pairs, swap test."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a training run."""
    split: Literal["train", "val", "test"] = "test"
    """Which clips."""
    selection: Literal["greedy", "sampled", "top_k"] = "greedy"
    """The likeliest decision of each channel; or sampled ones; or at each site and frame as many of each kind as the
    probabilities say, where they are the likeliest."""
    clips: int = 1
    """Clips of each video, whose scores are averaged with those of the crops."""
    crops: Literal[1, 3] = 1
    """Crops of each frame: its centre, or three along its longer side."""
    accounting: Literal["causal", "adafuse"] = "causal"
    """Print the cost as AdaFuse's code counts it too, with its errors, to set published figures beside ours."""
    skip_broken: bool = False
    """Evaluate without the videos that cannot be read, and say how many."""
    recalibrate: bool = False
    """Estimate the CNN's BatchNorm statistics anew on training clips, under the greedy policy, first."""
    threads: int = 2
    """CPU threads."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""


@dataclass(frozen=True)
class Probe:
    """Find out what trained agents learned: swap test, how decisions vary and what that is worth, difficulty of clips."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of training runs; probes.json and probes.png are written there. An agent is set against the best blind policy
    of its seed: the hull of all static runs among these of the same backbone, regime, groups and number of rollouts, each
    judged greedily, sampled, and by the top k."""
    out: Path | None = None
    """Folder for probes.json, probes.npz (what each run did with each clip) and probes.md of all runs together, over seeds."""
    split: Literal["train", "val", "test"] = "test"
    """Which clips."""
    threads: int = 2
    """CPU threads."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""


@dataclass(frozen=True)
class Inspect:
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
    count: int | None = None
    """Clips of each kind; by default four."""
    split: Literal["train", "val", "test"] = "test"
    """Which clips."""
    threads: int = 2
    """CPU threads."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""


@dataclass(frozen=True)
class Predict:
    """Classify a video, or every video of a folder: classes, cost, decisions; with a picture of each frame."""

    video: Annotated[Path, tyro.conf.Positional]
    """A video, or a folder in which all videos are classified."""
    run: Path
    """Folder of a training run, or of an imported one."""
    top: int = 5
    """Classes to name, the most probable first."""
    overlay: Path | None = None
    """Video to write of one video: its frames beside decisions and prediction; by default RUN/predictions/NAME.mp4."""
    no_overlay: bool = False
    """Write no such video."""
    csv: Path | None = None
    """Table to write of a folder, by default RUN/predictions.csv; what it holds already is not repeated."""
    json: bool = False
    """Print JSON and nothing else."""
    threads: int = 2
    """CPU threads."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""


@dataclass(frozen=True)
class Import:
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


COMPARISONS: dict[str, dict[str, Any]] = {
    "quick": {  # a demonstration of everything: a minute on two cores
        "methods": ("reinforce", "ppo", "gumbel", "static"),
        "more_methods": (),
        "cost_weights": (1.0,),
        "seeds": (0,),
        "group_sizes": (1,),
        "rollouts": 3_072,
        "seconds": 0.0,
        "correctness_row": False,
        "pretrain_clips": 12_800,
        "pretrain_batch_size": 32,  # more updates: on so few clips accuracy leaves 50% with 32 and not with 64
        "accuracies": (60.0,),
        "budgets": (0.5,),
        "run": Path("runs/quick"),
    },
    "default": {  # three seeds of the agents on one backbone: ten to fifteen minutes on two cores
        "methods": ("reinforce", "ppo", "gumbel", "static"),
        "more_methods": (),
        "cost_weights": (0.5, 1.0, 2.0, 4.0, 8.0),
        "seeds": (0, 1, 2),
        "group_sizes": (1,),
        "rollouts": 6_000,
        "seconds": 0.0,
        "correctness_row": False,
        "pretrain_clips": 80_000,
        "pretrain_batch_size": 64,
        "accuracies": (95.0, 90.0),
        "budgets": (0.2, 0.3),
        "run": Path("runs/compare"),
    },
    "full": {  # five seeds of backbone and agents, at equal rollouts and at equal time: two hours on two cores
        "methods": ("reinforce", "ppo", "rebar", "gumbel", "static"),
        "more_methods": (),
        "cost_weights": (0.5, 1.0, 2.0, 4.0, 8.0),
        "seeds": (0, 1, 2, 3, 4),
        "group_sizes": (8,),
        "rollouts": 8_000,
        "seconds": 10.0,
        "correctness_row": False,
        "pretrain_clips": 80_000,
        "pretrain_batch_size": 64,
        "accuracies": (95.0, 90.0),
        "budgets": (0.2, 0.3),
        "run": Path("runs/full"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Compare:
    """Train every method on the same backbones and clips, judge all alike, and write table, pictures and report."""

    preset: Literal["quick", "default", "full"] = "default"
    """quick shows everything in a minute, on fewer embedded clips, trained too short to conclude from; default takes
    a quarter of an hour on two cores; full has five seeds, each with a backbone of its own, and REBAR, in groups of 8, at
    equal rollouts and at equal time, and takes two hours. Each option below that is left out is the preset's."""
    methods: tuple[str, ...] | None = None
    """Methods to train at every cost weight and group size; one of your own must be registered by --plugin."""
    more_methods: tuple[str, ...] | None = None
    """Methods to train as well, at one cost weight and the last group size."""
    more_cost_weight: float = 1.0
    """The cost weight of those, and of the row of 0/1 correctness."""
    regimes: tuple[Literal["frozen", "joint"], ...] = ("frozen",)
    """Train the methods on a frozen CNN, with one that learns too (rows such as reinforce-joint), or both ways."""
    reuse: bool = True
    """Whether the agents may reuse, as in `train`: --no-reuse shows what passes through their decisions alone."""
    cost_weights: tuple[float, ...] | None = None
    """Rewards that a densely computed clip costs."""
    seeds: tuple[int, ...] | None = None
    """Seeds of the agents; full pretrains a backbone of each seed, too."""
    group_sizes: tuple[int, ...] | None = None
    """Channels that share one decision."""
    rollouts: int | None = None
    """Rollouts that each agent plays."""
    seconds: float | None = None
    """Train every method once more, for as many rollouts as it plays in so many seconds on this machine; 0 does not."""
    correctness_row: bool | None = None
    """Train REINFORCE on 0/1 correctness as well."""
    accuracies: tuple[float, ...] | None = None
    """Accuracies, in percent, at which costs are compared."""
    budgets: tuple[float, ...] | None = None
    """Costs, as shares of dense, at which accuracies are compared."""
    backbone: Path | None = None
    """One backbone for all seeds, which `pretrain` wrote; by default small ResNets are pretrained in the run's folder."""
    pretrain_clips: int | None = None
    """Clips that this pretraining sees."""
    pretrain_batch_size: int | None = None
    """Clips in an update of it."""
    data: Data = field(default_factory=Data)
    workers: int = 0
    """Processes of one thread each, 0 for as many as cores; with CUDA they are dealt out to the GPUs in turn."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""
    plugin: tuple[str, ...] = ()
    """Python modules to import first, which register methods or backbones of your own."""
    run: Path | None = None
    """Folder to write, by default runs/compare, or runs/quick, runs/full. What is finished there is not repeated."""

    def settled(self) -> Compare:
        """The same with every option that was left out set to the preset's."""
        preset = COMPARISONS[self.preset]
        settled = replace(self, **{name: value for name, value in preset.items() if getattr(self, name) is None})
        if self.preset == "quick" and self.data.root == DEFAULT_ROOT:
            settled = replace(settled, data=replace(self.data, root=QUICK_ROOT))
        return settled


@dataclass(frozen=True)
class Tune:
    """Choose each method's settings on validation clips: rollouts of an update, learning rate, warm-up, option by option."""

    methods: tuple[str, ...] = ("reinforce", "ppo", "rebar", "gumbel", "static")
    """Methods to tune."""
    cost_weights: tuple[float, ...] = (1.0, 4.0)
    """Rewards that a densely computed clip costs; what counts is the mean reward over them."""
    group_size: int = 8
    """Channels that share one decision."""
    rollouts: int = 8_000
    """Rollouts that each agent plays."""
    pretrain_clips: int = 80_000
    """Clips that the backbone's pretraining sees."""
    seed: int = 100
    """Of backbone and agents; not one that a comparison uses."""
    data: Data = field(default_factory=Data)
    workers: int = 0
    """Processes of one thread each, 0 for as many as cores."""
    device: Device = "auto"
    """Where to compute; auto takes CUDA if it is there."""
    run: Path = Path("runs/tune")
    """Folder to write: tuning.json, tuning.md and the runs. What is finished there is not repeated."""


@dataclass(frozen=True)
class Report:
    """Make tables and pictures again from results that are there: trains nothing, judges nothing."""

    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")]
    """Folder of results that `compare`, `gradients`, `probe` or `tune` wrote."""
    out: Path | None = None
    """Folder to write, by default the same."""


@dataclass(frozen=True)
class Bench:
    """Measure speeds as ratios, side by side in one process, with medians of interleaved pairs."""

    parts: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="environment|rollouts|episodes|cnn|data|fuzz ...")
    ] = ()
    """What to measure; by default all but fuzz, which decodes damaged files (the CNN's part takes minutes)."""
    clips: int = 32
    """Clips in a batch of the environment's part."""
    size: int = 224
    """Pixels of the frames of the CNN's part."""
    files: int = 2000
    """Damaged files of fuzz."""
    repeats: int = 21
    """Interleaved pairs; a third of them where a pair takes seconds."""
    json: Path | None = None
    """File to write the figures to."""


@dataclass(frozen=True)
class Gradients:
    """Measure what every estimator's gradient is worth: bias, variance, direction, cost; exactly, and on real clips."""

    preset: Literal["quick", "default", "full"] = "default"
    """How long: within a minute, some minutes, or hours' worth of precision."""
    methods: tuple[str, ...] = ()
    """Methods to measure; by default all that share their gates, and along training the main ones. One of your own must
    be registered by --plugin."""
    backbone: Path | None = None
    """A backbone that `pretrain` wrote, for the part on real clips; by default runs/backbone/backbone.pt if it is there."""
    agent: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Folders of training runs: measure along their training in place of all else, on their backbones and clips. default
    and full train them again to get there, and quick looks at their start and their end alone."""
    data: Data = field(default_factory=Data)
    """The videos of that part."""
    cost_weight: float = 1.0
    """Reward that a densely computed clip costs."""
    seed: int = 0
    """Of gates, samples and the order of clips."""
    plugin: tuple[str, ...] = ()
    """Python modules to import first, which register methods or backbones of your own."""
    run: Path = Path("runs/gradients")
    """Folder to write: gradients.json, gradients.md, pictures. Parts that are finished there are not repeated."""


@dataclass(frozen=True)
class Describe:
    """What a backbone and its gates cost: a table of its sites, totals, parameters. Computes nothing, needs no data."""

    architecture: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE")]
    """Name of the CNN: resnet50, ..., or one you registered; or a backbone.pt that `pretrain` wrote."""
    num_classes: int | None = None
    """Classes; by default 174 as in Something-Something V1 and V2, or as many as the file has."""
    size: int | None = None
    """Frames are size x size pixels; by default as the architecture is commonly run, or as the file says."""
    num_frames: int = 8
    """Frames T in a clip, for the totals."""
    sites: Annotated[tuple[str, ...], tyro.conf.arg(metavar="all|both|last_stage|NAME ...")] = ()
    """Where the agent decides, as in `pretrain`; by default all, or as the file says."""
    history: Literal["raw", "fused"] | None = None
    """What reuse reads, as in `pretrain`; by default raw, or as the file says."""
    temporal: Literal["tsn", "tsm", "tsm-stream", "tsm-adafuse"] | None = None
    """Temporal shift, which costs nothing; by default tsn, or as the file says."""
    consensus: Literal["mean", "lstm"] | None = None
    """From frames to a clip; by default mean, or as the file says."""
    lstm_hidden: int | None = None
    """Units of that LSTM; by default 512, or as the file says."""
    group_size: int = 1
    """Channels that share one decision."""
    hidden: int = 32
    """Hidden units of a gate."""
    hidden_quota: int | None = None
    """In place of hidden: hidden units times decisions of a site, as in `train` (AdaFuse: 196608)."""
    gate_norm: Literal["layer", "batch"] = "layer"
    """LayerNorm of a gate's input, or BatchNorm of its hidden units (AdaFuse)."""
    shared_gates: bool = False
    """Gates of equal input and output sizes share their linear layers (AdaFuse's code)."""
    plugin: tuple[str, ...] = ()
    """Python modules to import first, which register backbones of your own."""
    json: bool = False
    """Print JSON in place of the tables: every count a whole number, MACs per frame."""


@dataclass(frozen=True)
class CheckData:
    """Look at every clip of a data set and report what is wrong with it; the exit code is 0 only if nothing is."""

    root: Annotated[Path, tyro.conf.Positional]
    """Folder of videos."""
    layout: str | None = None
    """Name of its layout, such as something_v2 or ucf101_2; recognised where it is left out."""
    num_frames: int = 8
    """Frames T in a clip: shorter videos are reported."""
    workers: int = 0
    """Processes that decode; 0 takes all cores."""
    json: bool = False
    """Print JSON and nothing else."""


@dataclass(frozen=True)
class Flips:
    """List the labels that a horizontal flip exchanges, and the classes whose videos cannot be flipped."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder of videos, or a text file with the name of a class on each line."""
    layout: str | None = None
    """Name of the folder's layout; recognised where it is left out."""
    json: bool = False
    """Print JSON and nothing else."""


@dataclass(frozen=True)
class Doctor:
    """Look whether all is there: versions, devices, disk, codecs, data; the exit code is 0 only if nothing is missing."""

    json: bool = False
    """Print JSON and nothing else."""


def to_json(config: object) -> dict:
    """A config as JSON, paths as strings."""
    return {name: _plain(value) for name, value in asdict(config).items()}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def with_defaults(kind: type, content: dict) -> dict:
    """What ``to_json`` wrote, with the options that are younger at their defaults."""
    filled = _renamed(kind, content)
    for option in fields(kind):
        default = option.default if option.default_factory is MISSING else option.default_factory()
        if is_dataclass(default):
            filled[option.name] = with_defaults(type(default), content.get(option.name, {}))
        elif default is not MISSING:
            filled.setdefault(option.name, _plain(default))
    return filled


def from_json(kind: type[T], content: dict) -> T:
    """The config that ``to_json`` wrote."""
    known = _renamed(kind, content)
    known["data"] = Data(
        **{**known["data"], "root": Path(known["data"]["root"]), "cache": _path(known["data"]["cache"])}
    )
    for name in ("run", "backbone", "start"):
        if name in known:
            known[name] = _path(known[name])
    for name in (
        "plugin",
        "methods",
        "more_methods",
        "regimes",
        "cost_weights",
        "seeds",
        "group_sizes",
        "accuracies",
        "budgets",
    ):
        if known.get(name) is not None:
            known[name] = tuple(known[name])
    return kind(**known)


def _renamed(kind: type, content: dict) -> dict:
    """Older runs called rollouts clips, and had two epochs of ppo that could not be set."""
    names = {option.name for option in fields(kind)}
    if "clips" not in content or "rollouts" not in names:
        return dict(content)
    known = {"rollouts" if name == "clips" else name: value for name, value in content.items()}
    return {**known, "n_epochs": 2} if "n_epochs" in names else known


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)
