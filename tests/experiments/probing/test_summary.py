import json
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from agent.evaluation import SELECTIONS
from experiments.analysis.statistics import CLIPS, ClipDraws, Interval, interval, over_clips, over_seeds
from experiments.config import Train
from experiments.probing.blind import against_blind
from experiments.probing.clips import drawn_figures, outcomes, policies_of
from experiments.probing.summary import TABLES, check_seeds, load_clips, markdown, rebuild, summarise, to_json

SITES = 12  # as many as the embedded CNN has, and more
CLIP_COUNT = 200
OTHERS = ("same class", "reversed class", "any class", "shares", "most common")


def figure(rng, centre: float) -> Interval:
    value = float(rng.normal(centre, 0.01 + 0.05 * abs(centre)))
    return Interval(value, value - 1 / 3, value + 1 / 3, CLIPS)


def probed(seed: int, reached: str = "cost", facts: bool = True):
    """Figures as a probe leaves them."""
    rng = np.random.default_rng(seed)
    results = lambda: {"accuracy": figure(rng, 80), "cost": figure(rng, 0.3)}  # noqa: E731
    differences = lambda: {"accuracy": figure(rng, 5), "cost": figure(rng, 0.01)}  # noqa: E731
    parts = {"variance": 1 / 3, "between_clips": 0.4, "between_frames": 0.2, "rest": 0.4, "constant": 0.1}
    frames = ("use", "reuse", "skip", "cost", "cost_above_position")
    known = {"cost": (80.0, 3.0), "bound": (90.0, None), "none": (None, None)}[reached]
    blind = [None if value is None else figure(rng, value) for value in known]
    difficulty = {
        "phases": {
            phase: {"frames": 1, **{name: figure(rng, 0.2) for name in frames}}
            for phase in ("before", "inside", "after")
        },
        "noise": [{"from": 1 / 3, "to": 2 / 3, "clips": 9, **results()} for _ in range(3)],
        "length": [{"length": n, "clips": 9, **results()} for n in range(3, 9)],
        "rank_correlation_of_cost": {name: figure(rng, 0.2) for name in ("noise", "contrast", "length", "speed")},
    }
    return {
        "split": "test",
        "clips": 2_000,
        "skipped": 0,
        **results(),
        "best_blind": {"policies": 15, "end": 1 / 3, "reached": reached, "accuracy": blind[0], "lead": blind[1]},
        "swap": {"accuracy": figure(rng, 70), "follows": figure(rng, 20)},
        "pairs": {"left / right": 200 / 3},
        "adaptivity": {name: {key: value * (1 + 1e-3 * seed) for key, value in parts.items()} for name in range(SITES)}
        | {"all": parts},
        "without_adaptivity": {name: {**results(), "adaptive_minus_this": differences()} for name in OTHERS},
        "difficulty": difficulty if facts else None,
    }


def clips(seed: int, *, static: bool = False, count: int = CLIP_COUNT, accuracy: float = 0.9, cost: float = 0.3):
    """What a run did with each clip, hard ones being hard for all runs."""
    rng, hard = np.random.default_rng(seed), np.random.default_rng(999).random(count)
    found = {}
    for place, name in enumerate((*(SELECTIONS if static else ("greedy",)), *OTHERS)):
        right = hard + rng.normal(0, 0.1, count) < accuracy - 0.02 * place
        spread = np.zeros(count) if static else 0.02 * rng.standard_normal(count)
        found |= {f"{name}/correct": right, f"{name}/cost": cost + 0.01 * place + spread}
    follows = rng.random(count) < 0.1
    return found | {"swap/correct": ~follows & found["greedy/correct"], "swap/follows": follows}


def figures_of(own, rivals):
    """Figures as a probe leaves them of a run that did this with each clip."""
    percent = lambda values: over_clips(100 * values, cluster=2)  # noqa: E731
    greedy, figures = outcomes(own)["greedy"], probed(0)
    figures |= {"accuracy": percent(greedy.correct), "cost": over_clips(greedy.macs_ratio, cluster=2)}
    figures["clips"] = len(greedy.correct)
    figures["swap"] = {"accuracy": percent(own["swap/correct"]), "follows": percent(own["swap/follows"])}
    figures["best_blind"] = against_blind(greedy, rivals, cluster=2) if rivals else None
    figures["without_adaptivity"] = {
        name: {
            "accuracy": percent(other.correct),
            "cost": over_clips(other.macs_ratio, cluster=2),
            "adaptive_minus_this": {
                "accuracy": percent(1.0 * greedy.correct - other.correct),
                "cost": over_clips(greedy.macs_ratio - other.macs_ratio, cluster=2),
            },
        }
        for name, other in outcomes(own).items()
        if name in OTHERS
    }
    return figures


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder of three seeds of an agent between two static policies, one of them of other seeds' too; what was kept."""
    folder, runs = tmp_path_factory.mktemp("kept"), []
    for seed in range(3):
        blind = [(weight, clips(10 * seed + k, static=True, accuracy=accuracy, cost=cost))
                 for k, (weight, accuracy, cost) in enumerate([(1.0, 0.8, 0.2), (8.0, 0.95, 0.5)])]  # fmt: skip
        own = clips(100 + seed)
        rivals = [policy for _, one in blind for policy in policies_of(one)]
        runs.append((Train(method="ppo", seed=seed), figures_of(own, rivals), own))
        runs += [(Train(method="static", seed=seed, cost_weight=w), figures_of(one, []), one) for w, one in blind]
    return folder, runs, summarise(folder, runs, cluster=2)


def test_clips_of_one_source_are_drawn_together_and_that_is_kept(kept, tmp_path):
    _, runs, text = kept
    assert summarise(tmp_path, runs, cluster=np.arange(CLIP_COUNT) // 2) == text  # the same clips, named otherwise
    (tmp_path / "probes.md").unlink()
    assert rebuild(tmp_path, tmp_path) == text
    few = summarise(tmp_path, runs, cluster=np.arange(CLIP_COUNT) // 20)
    assert few != text


def rows_of(text: str, title: str) -> list[dict[str, str]]:
    lines = text.split(f"## {title}\n")[1].split("##")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [dict(zip(head, row)) for row in rows]


WORTH, TELL, SPENT = TABLES


def test_rows_are_over_the_seeds_of_a_method_a_group_size_and_a_cost_weight(tmp_path):
    runs = [
        (Train(method=method, seed=seed, cost_weight=weight, group_size=8), probed(seed + round(10 * weight)))
        for method in ("ppo", "gumbel")
        for weight in (1.0, 4.0)
        for seed in range(3)
    ]
    text = summarise(tmp_path, [(*run, {}) for run in runs], cluster=2)
    assert text == (tmp_path / "probes.md").read_text()
    rows = rows_of(text, WORTH)
    assert [(row["method"], row["groups of"], row["cost weight"], row["seeds"]) for row in rows] == [
        ("ppo", "8", "1", "3"), ("ppo", "8", "4", "3"), ("gumbel", "8", "1", "3"), ("gumbel", "8", "4", "3")
    ]  # fmt: skip
    of_first = [figures for _, figures in runs[:3]]
    expected = over_seeds([figures["best_blind"]["lead"].mean for figures in of_first])
    assert rows[0]["minus best blind"] == f"{expected:+.1f}"
    assert expected.mean == pytest.approx(np.mean([figures["best_blind"]["lead"].mean for figures in of_first]))
    shares = over_seeds([f["without_adaptivity"]["shares"]["adaptive_minus_this"]["accuracy"].mean for f in of_first])
    assert rows[0]["minus shares"] == f"{shares:+.1f}"
    use = over_seeds([100 * f["difficulty"]["phases"]["inside"]["use"].mean for f in of_first], bounds=(0, 100))
    assert rows_of(text, SPENT)[0]["use inside %"] == f"{use:.1f}"
    assert rows_of(text, TELL)[0]["variance: clips %"] == "40.0"


def test_tables_are_made_again_from_the_json_alone(tmp_path):
    text = summarise(tmp_path / "a", [(Train(seed=seed), probed(seed), {}) for seed in range(2)], cluster=2)
    kept = json.loads((tmp_path / "a" / "probes.json").read_text())
    for run in kept:
        del run["cluster"], run["kept"], run["rivals"]  # as older ones are
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "probes.json").write_text(json.dumps(kept))
    assert rebuild(tmp_path / "older", tmp_path / "b") == text
    assert (tmp_path / "b" / "probes.md").read_text() == text
    assert "ˢᶜ" not in text.split("##", 1)[1]


def test_tables_are_made_again_from_what_is_kept_of_each_clip(kept, tmp_path):
    folder, _, text = kept
    assert (
        rebuild(folder, tmp_path) == text == (folder / "probes.md").read_text() == (tmp_path / "probes.md").read_text()
    )


def test_what_is_kept_of_each_clip_gives_the_figures_of_each_run(kept):
    folder, given, _ = kept
    runs = json.loads((folder / "probes.json").read_text())
    stored = load_clips(folder, runs)
    assert [run["rivals"] for run in runs[:4]] == [[1, 2], [], [], [4, 5]]
    for run, own, (_, _, before) in zip(runs, stored, given):
        assert set(own) == set(before)
        rivals = [policy for place in run["rivals"] for policy in policies_of(stored[place])]
        found = drawn_figures(own, rivals, ClipDraws(CLIP_COUNT, cluster=2))
        assert len(found) == 4 + 4 * sum(name in run["without_adaptivity"] for name in OTHERS) + 2 * bool(rivals)
        for path, drawn in found.items():
            figure = run
            for part in path:
                figure = figure[part]
            assert drawn[0] == pytest.approx(figure[0], abs=0.02 if path == ("best_blind", "lead") else 1e-3), path


def test_intervals_are_over_seeds_and_clips_where_clips_are_kept(kept):
    _, given, text = kept
    row, agents = rows_of(text, WORTH)[0], [own for config, _, own in given if config.method == "ppo"]
    draws = ClipDraws(CLIP_COUNT, cluster=2)
    accuracy = interval(
        draws.means(np.stack([100 * own["greedy/correct"] for own in agents])), units=draws.units, bounds=(0, 100)
    )
    assert row["accuracy %"] == f"{accuracy:.1f}"
    for column in ("accuracy %", "minus best blind", "minus shares", "minus any other", "dearer by"):
        assert row[column].endswith("]ˢᶜ"), column
    told = rows_of(text, TELL)[0]
    assert told["follows %"].endswith("]ˢᶜ")
    assert "ᶜ" not in told["rest %"]  # of decisions, which are not kept
    apart = over_seeds([figures["accuracy"].mean for config, figures, _ in given if config.method == "ppo"])
    assert accuracy.high - accuracy.low > apart.high - apart.low


def test_a_single_seed_has_an_interval_over_clips(kept, tmp_path):
    text = summarise(tmp_path, kept[1][:3], cluster=2)
    assert rows_of(text, WORTH)[0]["minus best blind"].endswith("]ᶜ")


def test_what_forty_five_runs_did_with_two_thousand_clips_is_a_few_hundred_kilobytes(tmp_path):
    runs = [(Train(method="static", seed=s, cost_weight=float(w)), probed(s), clips(s, static=True, count=2000))
            for s in range(5) for w in range(5)]  # fmt: skip
    runs += [(Train(method=m, seed=s), probed(s), clips(s, count=2000)) for s in range(5) for m in "abcd"]
    summarise(tmp_path, runs, cluster=2)
    assert (tmp_path / "probes.npz").stat().st_size < 500_000


def test_a_bound_is_said_and_never_subtracted():
    """One seed's agent costs more than the best blind policy: nothing is said of the others' lead alone."""
    runs = [{**to_json(probed(seed, reached)), "seed": seed} for seed, reached in enumerate(["cost", "bound", "cost"])]
    runs = [{"method": "ppo", "group_size": 1, "cost_weight": 1.0, "rollouts": 8, **run} for run in runs]
    row = rows_of(markdown(runs, [{}] * 3), WORTH)[0]
    assert row["best blind at this cost %"].startswith("≥ ")
    assert row["minus best blind"] == "- (2 of 3)"
    runs[1] = runs[1] | to_json(probed(1, "none"))
    row = rows_of(markdown(runs, [{}] * 3), WORTH)[0]
    assert (row["best blind at this cost %"], row["minus best blind"]) == ("- (2 of 3)", "- (2 of 3)")


def test_what_was_not_probed_is_a_dash():
    run = {
        "method": "ppo",
        "group_size": 1,
        "cost_weight": 1.0,
        "rollouts": 8,
        "seed": 0,
        **to_json(probed(0, facts=False)),
    }
    run |= {"best_blind": None, "swap": None}
    text = markdown([run], [{}])
    assert rows_of(text, WORTH)[0]["minus best blind"] == rows_of(text, TELL)[0]["follows %"] == "-"
    assert rows_of(text, SPENT)[0]["use inside %"] == "-"


def test_a_seed_counts_once_and_other_rows_apart():
    config = Train(method="ppo", seed=3)
    others = [{"seed": 4}, {"method": "gumbel"}, {"regime": "joint"}, {"reuse": False}, {"reward": "correctness"},
              {"group_size": 8}, {"cost_weight": 2.0}, {"rollouts": 5}]  # fmt: skip
    check_seeds({Path(str(n)): replace(config, **other) for n, other in enumerate([{}, *others])})
    with pytest.raises(ValueError, match=r"expected one run a seed for --out, got a and b, both of ppo and seed 3"):
        check_seeds({Path("a"): config, Path("b"): replace(config, run=Path("b"))})


def test_json_rounds_and_keeps_every_estimate_inside():
    found = to_json({"a": Interval(1 / 3, 1 / 3 - 1e-9, 1 / 3, CLIPS), "b": [2 / 3, None, "c", 7, True]})
    assert found == {"a": [0.333333] * 3, "b": [0.666667, None, "c", 7, True]}
    assert to_json(inf) == inf


def test_twenty_five_runs_are_a_small_file(tmp_path):
    runs = [(Train(method=m, seed=s), probed(s), {}) for m in ("a", "b", "c", "d", "e") for s in range(5)]
    summarise(tmp_path, runs, cluster=2)
    assert (tmp_path / "probes.json").stat().st_size < 300_000
    assert len(json.loads((tmp_path / "probes.json").read_text())) == 25
