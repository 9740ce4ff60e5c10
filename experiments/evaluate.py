"""Judge a run: one folder in, evaluation.json and the clips' results out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from agent import adaptivity, evaluate, evaluate_selections, pair_accuracy, swap_test
from agent.evaluation import Evaluation, Predictor, accounted_cost, agent_macs, average_views, selections_of
from backbone import Decision, FusionBackbone, Observation, fold_batchnorm, one_hot, recalibrate
from backbone.common.files import write_json, write_whole
from envs.clips import ClipError, ClipSource
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from envs.clips.source import BrokenClip
from experiments.analysis.statistics import Interval, over_clips
from experiments.board import log_test
from experiments.config import Evaluate
from experiments.runs import open_clips, open_views, set_up_cpu
from experiments.train import load_trained

RECALIBRATION_CLIPS, RECALIBRATION_BATCH = 2_048, 64


def judge(
    model: Predictor,
    backbone: FusionBackbone,
    clips: ClipSource,
    *,
    selections: Sequence[str] | None = None,
    order: str = "site",
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """All that a comparison reports of a model: figures as JSON, and per-clip results as arrays (N,).

    :param selections: greedy, and by default all others that can be made from the model
    """
    selections = selections_of(model) if selections is None else selections
    played = evaluate_selections(model, backbone, clips, selections=selections, order=order)
    greedy = played["greedy"]
    swap = swap_test(greedy, backbone, clips, order=order)
    figures = {
        **{selection: figures_of(result, clips) for selection, result in played.items()},
        "swap": None if swap is None else swap.to_json(),
        "pairs": pair_accuracy(greedy, clips),
        "shares": {
            site.name: dict(zip([decision.name.lower() for decision in Decision], share.tolist()))
            for site, share in zip(backbone.sites, greedy.shares)
        },
        "adaptivity": adaptivity_of(greedy),
        "clips": len(clips),
        "skipped": len(clips.skipped),
    }
    arrays = {}
    for selection, result in played.items():
        prefix = "" if selection == "greedy" else f"{selection}_"
        arrays |= {f"{prefix}correct": result.correct, f"{prefix}macs_ratio": result.macs_ratio}
    if swap is not None:
        arrays |= {"swap_correct": swap.correct, "swap_follows": swap.followed}
    return figures, arrays


def cluster_of(clips: ClipSource) -> int:
    """2 where every clip stands beside its own reversal, so that both are resampled together; else 1."""
    beside = clips.reversals is not None and np.array_equal(clips.reversals, np.arange(len(clips)) ^ 1)
    return 2 if beside else 1


def intervals_of(result: Evaluation, clips: ClipSource) -> dict[str, Interval]:
    """Accuracy in percent and cost as a share of dense, over clips."""
    cluster = cluster_of(clips)
    return {
        "accuracy": over_clips(100 * result.correct, cluster=cluster, bounds=(0, 100)),
        "cost": over_clips(result.macs_ratio, cluster=cluster),
    }


def figures_of(result: Evaluation, clips: ClipSource) -> dict[str, list[float]]:
    """The same as JSON, each [mean, low, high]."""
    return {name: found.to_json() for name, found in intervals_of(result, clips).items()}


def adaptivity_of(result: Evaluation) -> dict[str, dict[str, float]]:
    """How decisions vary, over all of them and by site, as JSON."""
    return {name: asdict(part) for name, part in adaptivity(result).items()}


def save_judgement(folder: Path, figures: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write clips.npz, then evaluation.json: where the latter is, both are whole."""
    write_whole(folder / "clips.npz", lambda file: np.savez_compressed(file, **arrays))
    write_json(folder / "evaluation.json", figures)


def rollouts_played(folder: Path) -> int:
    """Rollouts that a finished run has played; 0 of an imported one, and of one that is not finished."""
    path = folder / "result.json"
    return read_result(path)["rollouts"] if path.exists() else 0


def read_result(path: Path) -> dict[str, Any]:
    """What ``train`` leaves of a finished run; older ones call rollouts clips, and do not know their updates (None)."""
    found = {"updates": None, "clipped_updates": None, **json.loads(path.read_text())}
    return found if "rollouts" in found else {**found, "rollouts": found["clips"]}


def recalibrated(model: Predictor, backbone: FusionBackbone, clips: ClipSource) -> FusionBackbone:
    """The backbone with BatchNorm statistics of the greedy policy on training clips, folded for running.

    :param backbone: BatchNorms not folded
    :raises ValueError: a CNN without BatchNorms, or a policy without our gates
    """
    gates = getattr(getattr(model, "policy", None), "gates", None)
    if gates is None:
        raise ValueError(
            f"expected a policy of our gates to recalibrate under, got {type(model).__name__}: evaluate it as it is"
        )

    def greedy(observation: Observation) -> Tensor:
        return one_hot(gates(observation.site, observation.v, observation.v_previous).argmax(-1))

    def batches() -> Iterator[Tensor]:
        loader = Loader(clips, ClipSampler(len(clips), seed=0), RECALIBRATION_BATCH)
        for _ in range(RECALIBRATION_CLIPS // RECALIBRATION_BATCH):
            yield backbone.preprocess(next(loader).frames)

    return fold_batchnorm(recalibrate(backbone, batches(), greedy))


def evaluate_run(config: Evaluate) -> str:
    """Judge a finished run, write what was found beside it, and return it as text.

    :raises ValueError: no run there, options that cannot be, or videos that cannot be read
    """
    if config.clips < 1:
        raise ValueError(f"expected --clips to be at least 1, got {config.clips}")
    set_up_cpu(config.threads)
    model, backbone, trained = load_trained(config.run, device=config.device, fold=not config.recalibrate)
    data = trained.data
    if config.recalibrate:
        backbone = recalibrated(model, backbone, open_clips(data, "train"))
    if config.skip_broken:
        data = replace(data, skip_broken=True)
    many = config.clips * config.crops
    if many > 1:
        clips = open_views(data, config.split, clips=config.clips, crops=config.crops)
    else:
        clips = open_clips(data, config.split, for_evaluation=True)
    layout = model.layout if hasattr(model, "layout") else model.env.get_attr("layout")[0]
    order = layout.order
    try:
        played = evaluate(
            model, backbone, clips, order=order, selection=config.selection, progress=f"evaluating {config.split}"
        )
    except BrokenClip as error:
        raise ClipError(f"{error}; or evaluate without the videos that cannot be read: --skip-broken") from error
    result = average_views(played, many)
    figures = intervals_of(result, clips)
    swap = swap_test(played, backbone, clips, order=order, progress="swap test")
    recalibration = ", BatchNorms recalibrated," if config.recalibrate else ""
    of_views = f", {many} views each: the cost is that of one" if many > 1 else ""
    lines = [
        f"{config.run}: {config.selection} policy{recalibration} on {len(result.label)} clips of "
        f"{config.split}{of_views}" + (f", {len(clips.skipped)} broken videos skipped" if clips.skipped else ""),
        f"accuracy {figures['accuracy']:.1f} % (ᶜ: 95% interval over clips)",
        f"cost     {figures['cost']:.3f} of the dense CNN's MACs, the agent's own included",
    ]
    official = None
    if config.accounting != "causal":
        own = agent_macs(model, layout)
        counted = accounted_cost(played, backbone, own, accounting=config.accounting)
        official = over_clips(counted.reshape(-1, many).mean(1), cluster=cluster_of(clips))
        lines.append(f"cost     {official:.3f} as AdaFuse's code counts it, errors included")
    for site, share in zip(backbone.sites, result.shares):
        parts = ", ".join(f"{decision.name.lower()} {share[decision]:.2f}" for decision in Decision)
        lines.append(f"  {site.name}: {parts}")
    for name, accuracy in pair_accuracy(result, clips).items():
        lines.append(f"  {name}: {accuracy:.1f}%")
    if swap is not None:
        lines.append(
            f"swap test: {swap.accuracy:.1f}% right with the decisions of the reversed clip, "
            f"{swap.follows:.1f}% follow those decisions"
        )
    varies = adaptivity_of(played)
    lines.append(
        "variance of decisions {variance:.3f}: {between_clips:.0%} between clips, {between_frames:.0%} between frames, "
        "{rest:.0%} a clip's own course; {constant:.0%} of decisions never change".format(**varies["all"])
    )
    kind = ("" if config.selection == "greedy" else f"-{config.selection}") + (
        "-recalibrated" if config.recalibrate else ""
    )
    name = f"evaluation-{config.split}{kind}{f'-{many}-views' if many > 1 else ''}.json"
    written = {
        **figures_of(result, clips),
        "swap": None if swap is None else swap.to_json(),
        "clips": len(result.label),
        "views": many,
    }
    written["adaptivity"] = varies
    if official is not None:
        written[f"cost_{config.accounting}"] = official.to_json()
    if name == "evaluation-test.json" and not any((config.run / file).exists() for file in (name, "evaluation.json")):
        log_test(config.run, figures_of(result, clips), rollouts=rollouts_played(config.run))
    write_json(config.run / name, written)
    return "\n".join(lines)
