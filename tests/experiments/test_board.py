"""The one table of tags against what runs write, and TensorBoard's own plugins."""

import re
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from experiments.analysis.statistics import Interval
from experiments.board import HPARAMS, LAYOUT, METRICS, log_test, open_logger
from experiments.config import Data, Train
from experiments.judgement import Judgement
from experiments.methods import METHODS
from experiments.run import Run
from experiments.train import train

TABLE = Path(__file__).parents[2] / "experiments" / "tensorboard.md"
PLACEHOLDERS = {"SITE": r"layer\d\.\d", "NAME": r"[a-z]+(_\d)?", "POLICY": r"[a-z]+(_[a-z0-9]+)+"}
FIFTY, HALF = Interval(50.0, 50.0, 50.0), Interval(0.5, 0.5, 0.5)
JUDGED = Judgement(
    {"greedy": {"accuracy": FIFTY, "class_accuracy": FIFTY, "cost": HALF}},
    confusion={"right": {"right": 1, "left": 1}, "left": {"left": 1, "right": 1}},
)
OF_PLUGINS = re.compile(r"_hparams_/|custom_scalars__config__")  # no tags of ours: what CUSTOM SCALARS and HPARAMS read
KINDS = {  # in the words of the table's second column -> a run that is all of these
    ("reinforce", "reinforce_value", "joint", "joint policy gradient"): {
        "method": "reinforce_value",
        "regime": "joint",
    },
    ("ppo",): {"method": "ppo"},
    ("relaxation",): {"method": "gumbel"},
    ("relaxation", "joint"): {"method": "gumbel", "regime": "joint"},
    ("relaxation", "static"): {"method": "static"},
    ("rebar",): {"method": "rebar"},
}


def documented() -> dict[str, set[str]]:
    """Tag, with its placeholders -> who writes it."""
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \|", TABLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len({tag for tag, _ in rows}) == len(rows), "a tag stands in the table twice"
    return {tag: {kind.strip() for kind in kinds.split(",")} for tag, kinds in rows}


def pattern(tag: str) -> re.Pattern:
    parts = re.split(f"({'|'.join(PLACEHOLDERS)})", tag)
    return re.compile("".join(PLACEHOLDERS.get(part, re.escape(part)) for part in parts))


def differences(table: set[str], written: set[str]) -> tuple[set[str], set[str]]:
    """Rows that no written tag fits, and written tags that fit no row."""
    patterns = {tag: pattern(tag) for tag in table}
    nobody = {tag for tag, found in patterns.items() if not any(found.fullmatch(name) for name in written)}
    return nobody, {name for name in written if not any(found.fullmatch(name) for found in patterns.values())}


def board(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0}).Reload()


def tags_of(run: Path) -> set[str]:
    found = board(run).Tags()
    names = {tag for kind in ("scalars", "images", "histograms", "tensors") for tag in found[kind]}
    return {name.removesuffix("/text_summary") for name in names if not OF_PLUGINS.match(name)}


@pytest.fixture(scope="module")
def runs(videos, backbone_file, tmp_path_factory):
    """A short run of each kind, judged."""
    folder = tmp_path_factory.mktemp("runs")
    short = {"rollouts": 24, "num_clips": 2, "rollouts_per_clip": 2, "batch_size": 4, "validation_clips": 2,
             "evaluate_every": 24, "device": "cpu", "backbone": backbone_file, "data": Data(root=videos)}  # fmt: skip
    made = {}
    for number, (kinds, options) in enumerate(KINDS.items()):
        made[kinds] = train(Train(run=folder / str(number), **short, **options))
        log_test(made[kinds], JUDGED, rollouts=Run(made[kinds]).rollouts)
    return made


@pytest.mark.parametrize("kinds", KINDS, ids=" + ".join)
def test_the_table_is_what_a_run_writes(runs, kinds):
    table = {tag for tag, who in documented().items() if who & {"all", "judged", *kinds}}
    nobody, undocumented = differences(table, tags_of(runs[kinds]))
    assert not nobody, "in the table, written by nobody"
    assert not undocumented, f"written, not in {TABLE.name}"


def test_pretraining_writes_its_rows(backbone_file):
    table = {tag for tag, who in documented().items() if "pretrain" in who}
    assert differences(table, tags_of(backbone_file.parent)) == (set(), set())


def test_the_kinds_of_the_table_are_those_that_are_tried():
    tried = {"all", "judged", "pretrain"}.union(*KINDS) - {"static", "rebar"}  # these two add no tag of their own
    assert set().union(*documented().values()) == tried
    assert {options["method"] for options in KINDS.values()} < set(METHODS)


def test_control_differences_are_found_in_both_directions():
    table = {"validation/cost", "decisions/SITE/use"}
    assert differences(table, {"validation/cost", "decisions/layer1.0/use"}) == (set(), set())
    assert differences(table, {"validation/cost"}) == ({"decisions/SITE/use"}, set())
    assert differences(table, {"validation/cost", "decisions/layer1.0/use", "a/b"}) == (set(), {"a/b"})
    assert not pattern("validation/cost").fullmatch("validation/costs")


def test_custom_scalars_are_there_and_each_chart_finds_a_curve_in_every_run(runs):
    for run in runs.values():
        events = board(run)
        (event,) = events.Tensors("custom_scalars__config__")
        layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
        assert [category.title for category in layout.category] == list(LAYOUT)
        assert all(category.title.startswith("policy gradient vs relaxation") for category in layout.category)
        for category in layout.category:
            for chart in category.chart:
                for tag in chart.multiline.tag:  # TensorBoard matches from a tag's beginning
                    assert any(re.match(tag, name) for name in events.Tags()["scalars"]), (chart.title, tag)


def test_a_chart_of_one_decision_draws_no_other(runs):
    tags = board(runs[("ppo",)]).Tags()["scalars"]
    charts = {title: tags[0] for category in LAYOUT.values() for title, (_, tags) in category.items()}
    assert {tag.rsplit("/", 1)[1] for tag in tags if re.match(charts["use at each site"], tag)} == {"use"}


def test_hparams_have_accuracy_and_cost_of_validation_and_test_as_metrics(runs):
    for run in runs.values():
        events = board(run)
        content = {tag: summary.plugin_data.content for tag, summary in events.summary_metadata.items()}
        experiment = plugin_data_pb2.HParamsPluginData.FromString(content["_hparams_/experiment"]).experiment
        start = plugin_data_pb2.HParamsPluginData.FromString(content["_hparams_/session_start_info"])
        assert {info.name for info in experiment.hparam_infos} == set(HPARAMS) == set(start.session_start_info.hparams)
        assert {info.name.tag for info in experiment.metric_infos} == set(METRICS)
        for metric in METRICS:
            assert events.Scalars(metric)[-1].step == Run(run).rollouts


def test_a_resumed_board_drops_what_lies_beyond_the_checkpoint(tmp_path):
    for from_rollouts, steps in ((0, (10, 20, 30)), (20, (25, 35))):
        time.sleep(1.1 if from_rollouts else 0)  # TensorBoard orders files by the second in their names
        logger = open_logger(tmp_path, from_rollouts=from_rollouts)
        for step in steps:
            logger.record("a/b", step)
            logger.dump(step)
        logger.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("a/b")] == [10, 20, 25, 35]
