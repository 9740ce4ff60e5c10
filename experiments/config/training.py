"""Options of the commands that train one network: ``pretrain`` and ``train``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.config.data import Videos
from experiments.config.ranges import AtLeast0, AtLeast1, Batch, Cores, Rate, Seed, Share, Units, Weight
from experiments.config.shared import Gates, Plugins, Runs, Threads, shared_last
from experiments.tuned import tuned


@shared_last
@dataclass(frozen=True)
class Pretrain(Videos, Threads):
    """Train a backbone so that, frozen, it can exploit reuse and bear skips (fusion-aware pretraining)."""

    architecture: str = "resnet_small"
    """Name of the CNN: resnet_small, resnet18, resnet34, resnet50, resnet101, bn_inception, mobilenet_v2,
    efficientnet_lite0, or one you registered."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="imagenet|NAME|PATH")] = None
    """Weights to start from: imagenet, or by name, finds or downloads a published file (docs/guides/weights.md lists
    them); or a local file of torchvision, TSN, TSM or `pretrain`."""
    sites: Annotated[list[str], tyro.conf.arg(metavar="all|both|last_stage|NAME ...")] = field(
        default_factory=lambda: ["all"]
    )
    """Where the agent will decide: all blocks, both sites of every Bottleneck, the last stage, or stages and blocks by
    name (layer3, layer4.0, layer4.0.conv2 ...)."""
    history: Literal["raw", "fused"] = "raw"
    """What reuse reads: the previous frame's own output (the paper), or what that frame passed on."""
    temporal: Annotated[str, tyro.conf.arg(metavar="tsn|tsm|tsm-stream|tsm-adafuse|NAME")] = "tsn"
    """Frames on their own, TSM's two-way shift (needs the site order), its one-way shift for streams, AdaFuse's, which
    shifts the shortcut too, or one you registered."""
    consensus: Annotated[str, tyro.conf.arg(metavar="mean|lstm|NAME")] = "mean"
    """From frames to a clip: the mean of their logits, an LSTM over their features, or one you registered."""
    lstm_hidden: Units = 512
    """Units of that LSTM."""
    mix: Annotated[str, tyro.conf.arg(metavar="random|shift|all_use|NAME")] = "random"
    """Decisions under which the CNN learns: random policies that reuse and, as training goes on, skip; the same without
    skips; frame by frame, which leaves an agent nothing to find; or a mix that you registered."""
    clips: AtLeast1 = 80_000
    """Clips seen in training."""
    batch_size: Batch = 64
    """Clips in an update."""
    learning_rate: Rate = 0.04
    """Peak of the cosine schedule of SGD with Nesterov momentum, of the classifier."""
    body_rate: Rate = 1.0
    """Learning rate of all before the classifier, as a share of that."""
    weight_decay: Rate = 5e-4
    """L2 penalty on the weights."""
    seed: Seed = 0
    """Of initial weights, clip order and decisions."""
    evaluate_every: AtLeast1 | None = None
    """Clips between evaluations on validation clips; by default a fifth of all. The best of them becomes backbone.pt, by its
    accuracy under random decisions, and backbone-last.pt is the last."""
    patience: AtLeast0 = 0
    """Stop once so many evaluations in a row have brought nothing better; 0 goes on to the end."""
    run: Path = Path("runs/backbone")
    """Folder to write: backbone.pt, config.json, learning.json, TensorBoard events."""
    resume: bool = False
    """Go on with the interrupted run in that folder."""
    _: KW_ONLY
    threads: Cores = 0


@shared_last
@dataclass(frozen=True)
class Train(Videos, Gates, Plugins, Threads):
    """Train an agent on a pretrained backbone, frozen or learning too."""

    backbone: Path = Path("runs/backbone/backbone.pt")
    """File that `pretrain` wrote."""
    method: str = "gumbel"
    """gumbel, reinforce, ppo, rebar, static (learned, ignores its input), or any other of experiments/methods.py, or one
    you registered."""
    rollouts: AtLeast1 = 24_000
    """Rollouts played in training. Policy gradients play several of each clip they draw; other methods pass each once."""
    cost_weight: Weight = 1.0
    """Reward that a densely computed clip costs."""
    warmup: Share | None = None
    """Share of training over which the cost weight rises from zero; by default the method's own (experiments/tuned.py)."""
    reward: Annotated[str, tyro.conf.arg(metavar="log_prob|correctness|NAME")] = "log_prob"
    """Outcome of an episode: log-probability of the true class, 1 if the class is right, or one you registered."""
    order: Literal["site", "frame"] = "site"
    """A step of policy gradients decides a site for the whole clip, or for one frame."""
    num_clips: Batch | None = None
    """Clips in a batch of rollouts of policy gradients; by default the method's own (experiments/tuned.py)."""
    rollouts_per_clip: Batch = 8
    """Rollouts of each; leave-one-out compares them."""
    n_epochs: Batch | None = None
    """Passes of ppo over a batch of rollouts, in two minibatches each; by default the method's own (experiments/tuned.py)."""
    batch_size: Batch | None = None
    """Clips in an update of the other methods; by default the method's own (experiments/tuned.py)."""
    learning_rate: Rate | None = None
    """Peak of Adam's warm-up and cosine schedule; by default the method's own (experiments/tuned.py)."""
    regime: Literal["frozen", "joint"] = "frozen"
    """Leave the CNN as it was pretrained, or let it learn beside the agent, from the same clips."""
    statistics: Literal["followed", "frozen"] = "followed"
    """Keep the CNN's BatchNorm statistics those of the decisions being taken, while the agent learns and when it is judged;
    or leave them as they were pretrained."""
    cnn_learning_rate: Rate = 4e-3
    """Joint regime: peak of the warm-up and cosine schedule of the CNN's SGD."""
    start: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder of a run whose agent's weights, and CNN if it has its own, training starts from."""
    cost_gradient: Literal["exact", "sampled"] | None = None
    """Differentiate each step's own expected cost exactly, or leave it to the sampled decisions. By default exact for
    policy gradients and rebar, sampled for relaxations (AdaFuse)."""
    entropy_coef: Rate = 0.0
    """Weight of the entropy bonus of reinforce, ppo and rebar, per decision in nats."""
    reuse: bool = True
    """Whether the agent may reuse; --no-reuse leaves it use and skip, a probe of what passes through its decisions."""
    seed: Seed = 0
    """Of the agent's initial weights, its samples and the order of clips."""
    evaluate_every: AtLeast1 = 4_000
    """Rollouts between evaluations on validation clips; each also saves a checkpoint and draws episodes. checkpoint-best.pt
    is that of the highest reward there, checkpoint.pt the last."""
    patience: AtLeast0 = 0
    """Stop once so many evaluations in a row have brought no higher reward; 0 goes on to the end."""
    validation_clips: AtLeast1 = 500
    """Validation clips in each of those evaluations."""
    run: Path | None = None
    """Folder to write; by default runs/METHOD-wWEIGHT-sSEED."""
    _: KW_ONLY
    threads: Cores = 1

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.run or Path("runs") / f"{self.method}-w{self.cost_weight:g}-s{self.seed}"

    def settled(self) -> SettledTrain:
        """The same with every option that was left out set to what was chosen for the method."""
        options = {option.name: getattr(self, option.name) for option in fields(Train)}
        settings = {**tuned(self.method, self.group_size), "run": self.folder}
        return SettledTrain(**{**options, **{name: value for name, value in settings.items() if options[name] is None}})


if TYPE_CHECKING:

    class SettledTrain(Train):
        """A Train of which nothing is left out. Only type checkers tell them apart: the same options are the same run."""

        warmup: Share
        num_clips: Batch
        n_epochs: Batch
        batch_size: Batch
        learning_rate: Rate
        run: Path

else:
    SettledTrain = Train


@shared_last
@dataclass(frozen=True)
class TrainCommand(Train, Runs):
    """Train an agent on a pretrained backbone, frozen or learning too."""

    resume: Path | None = None
    """Folder of an interrupted run to go on with, as it was configured; other options are ignored."""
