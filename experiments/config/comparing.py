"""Options of the commands that set methods beside each other: ``compare``, ``tune``, ``gradients``, ``report``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.config.data import DEFAULT_ROOT, QUICK_ROOT, Data, Videos
from experiments.config.presets import COMPARISONS
from experiments.config.ranges import AtLeast1, Batch, Checked, Percent, Rate, Seed, Units, Weight
from experiments.config.shared import Groups, Plugins, Processes, Runs, shared_last


@shared_last
@dataclass(frozen=True)
class Compare(Videos, Processes):
    """Train every method on the same backbones and clips, judge all alike, and write table, pictures and report."""

    preset: Literal["quick", "default", "full"] = "default"
    """quick shows everything in a minute and a half, on fewer embedded clips, trained too short to conclude from; default takes
    under half an hour on two cores; full has five seeds, each with a backbone of its own, and REBAR, in groups of 8, at
    equal rollouts and at equal time, and takes two hours. Each option below that is left out is the preset's."""
    methods: tuple[str, ...] | None = None
    """Methods to train at every cost weight and group size; one of your own must be registered by --plugin."""
    more_methods: tuple[str, ...] | None = None
    """Methods to train as well, at one cost weight and the last group size."""
    more_cost_weight: Weight = 1.0
    """The cost weight of those, and of the rows of other rewards."""
    regimes: tuple[Literal["frozen", "joint"], ...] = ("frozen",)
    """Train the methods on a frozen CNN, with one that learns too (rows such as reinforce-joint), or both ways."""
    statistics: Literal["followed", "frozen"] = "followed"
    """Whose BatchNorm statistics the CNN has, as in `train`; fixed policies too."""
    reuse: bool = True
    """Whether the agents may reuse, as in `train`: --no-reuse shows what passes through their decisions alone."""
    cost_weights: tuple[Weight, ...] | None = None
    """Rewards that a densely computed clip costs."""
    seeds: tuple[Seed, ...] | None = None
    """Seeds of the agents; full pretrains a backbone of each seed, too."""
    group_sizes: tuple[Units, ...] | None = None
    """Channels that share one decision."""
    rollouts: AtLeast1 | None = None
    """Rollouts that each agent plays."""
    seconds: Weight | None = None
    """Train every method once more, for as many rollouts as it plays in so many seconds on this machine; 0 does not."""
    correctness_row: bool | None = None
    """Train REINFORCE on 0/1 correctness as well."""
    more_rewards: tuple[str, ...] = ()
    """Rewards to train REINFORCE on as well, such as one you registered, at that one cost weight and group size."""
    accuracies: tuple[Percent, ...] | None = None
    """Accuracies, in percent, at which costs are compared."""
    budgets: tuple[Rate, ...] | None = None
    """Costs, as shares of dense, at which accuracies are compared."""
    backbone: Path | None = None
    """One backbone for all seeds, which `pretrain` wrote; by default small ResNets are pretrained in the run's folder."""
    tuning: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """tuning.json that `tune` wrote, for the settings of the methods in it; the others', by default all, are those chosen on
    the embedded data."""
    pretrain_clips: AtLeast1 | None = None
    """Clips that this pretraining sees."""
    pretrain_batch_size: Batch | None = None
    """Clips in an update of it."""
    run: Path | None = None
    """Folder to write, by default runs/compare, or runs/quick, runs/full. What is finished there is not repeated."""

    def settled(self) -> SettledCompare:
        """The same with every option that was left out set to the preset's."""
        options, preset = (
            {option.name: getattr(self, option.name) for option in fields(Compare)},
            COMPARISONS[self.preset],
        )
        settled = SettledCompare(
            **{**options, **{name: value for name, value in preset.items() if options[name] is None}}
        )
        if self.preset == "quick" and self.data.root == DEFAULT_ROOT:
            settled = replace(settled, data=replace(self.data, root=QUICK_ROOT))
        return settled


if TYPE_CHECKING:

    class SettledCompare(Compare):
        """A Compare of which nothing is left out. Only type checkers tell them apart: the same options are the same
        comparison."""

        methods: tuple[str, ...]
        more_methods: tuple[str, ...]
        cost_weights: tuple[Weight, ...]
        seeds: tuple[Seed, ...]
        group_sizes: tuple[Units, ...]
        rollouts: AtLeast1
        seconds: Weight
        correctness_row: bool
        accuracies: tuple[Percent, ...]
        budgets: tuple[Rate, ...]
        pretrain_clips: AtLeast1
        pretrain_batch_size: Batch
        run: Path

else:
    SettledCompare = Compare


@shared_last
@dataclass(frozen=True)
class Tune(Videos, Groups, Processes):
    """Choose each method's settings on validation clips: rollouts of an update, learning rate, warm-up, option by option."""

    methods: tuple[str, ...] = ("reinforce", "ppo", "rebar", "gumbel", "static")
    """Methods to tune."""
    cost_weights: tuple[Weight, ...] = (1.0, 4.0)
    """Rewards that a densely computed clip costs; what counts is the mean reward over them."""
    rollouts: AtLeast1 = 8_000
    """Rollouts that each agent plays."""
    learning_rates: tuple[Rate, ...] | None = None
    """Learning rates to try, in place of each method's own list: deep CNNs ask for lower ones."""
    backbone: Path | None = None
    """One that `pretrain` wrote on these clips; by default a small ResNet is pretrained in the run's folder."""
    pretrain_clips: AtLeast1 = 80_000
    """Clips that this pretraining sees."""
    seed: Seed = 100
    """Of backbone and agents; not one that a comparison uses."""
    run: Path = Path("runs/tune")
    """Folder to write: tuning.json, tuning.md and the runs. What is finished there is not repeated."""
    _: KW_ONLY
    group_size: Units = 8


@shared_last
@dataclass(frozen=True)
class Gradients(Plugins, Runs):
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
    cost_weight: Weight = 1.0
    """Reward that a densely computed clip costs."""
    seed: Seed = 0
    """Of gates, samples and the order of clips."""
    run: Path = Path("runs/gradients")
    """Folder to write: gradients.json, gradients.md, pictures. Parts that are finished there are not repeated."""


@dataclass(frozen=True)
class Report(Checked):
    """Make tables and pictures again from results that are there: trains nothing, judges nothing."""

    results: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS [RESULTS ...]")]
    """Folder of results that `compare`, `gradients`, `probe` or `tune` wrote; several, of `compare` on one fold each, become
    one report, in which every clip was judged once."""
    out: Path | None = None
    """Folder to write, by default the same; needed where there are several."""
