"""Judge a finished run on a split: accuracy, cost, decisions, pairs, swap test."""

from __future__ import annotations

from dataclasses import replace

from agent import evaluate, swap_test
from agent.evaluation import accounted_cost, agent_macs
from agent.statistics import fit
from backbone import load_backbone
from backbone.common.deprecation import moved_names
from envs.clips import ClipError, ClipSource
from envs.clips.source import BrokenClip
from experiments.analysis import confusion
from experiments.analysis.pictures import write_picture
from experiments.analysis.statistics import over_clips
from experiments.board import confusion_picture, log_test
from experiments.clips import expect_classes, open_clips, open_views
from experiments.config import Evaluate
from experiments.judgement import Judgement, cluster_of, judgement_of
from experiments.loading import backbones_for, checkpoint_of, freeze, layout_of, load_trained, open_own
from experiments.machine import set_up_cpu
from experiments.run import Run

__getattr__ = moved_names(__name__, {name: f"experiments.judgement.{name}" for name in ("adaptivity_of", "judge")})


def evaluate_run(config: Evaluate) -> str:
    """Judge a finished run, write what was found beside it, and return it as text.

    :raises ValueError: no run there, options that cannot be, or videos that cannot be read
    """
    set_up_cpu(config.threads)
    run, judgement = Run(config.run), judge_run(config)
    if run.is_first_test(judgement):
        log_test(run.folder, judgement, rollouts=run.rollouts)
    run.write_evaluation(judgement)
    write_picture(confusion_picture(judgement), run.confusion_of(judgement))
    return describe_judgement(run, judgement)


def judge_run(config: Evaluate) -> Judgement:
    """Play a run's agent on a split, as the options say."""
    model, backbone, trained = load_trained(config.run, device=config.device, best=config.best)
    data, layout = trained.data, layout_of(model)
    if config.recalibrate:
        source, train = open_own(checkpoint_of(config.run, best=config.best), trained), open_clips(data, "train")
        backbone = freeze(fit(model, source, train, selection=config.selection, order=layout.order))
    elif config.selection != "greedy":
        backbone = backbones_for(model, trained, [config.selection], best=config.best)[config.selection]
    if config.skip_broken:
        data = replace(data, skip_broken=True)
    views = config.clips * config.crops
    clips: ClipSource
    if views > 1:
        clips = open_views(data, config.split, clips=config.clips, crops=config.crops)
    else:
        clips = open_clips(data, config.split, for_evaluation=True)
    known = load_backbone(trained.backbone)[1]["classes"]
    expect_classes(known, clips, of=str(trained.backbone), split=f"{config.split} of {data.root}")
    order = layout.order
    try:
        played = evaluate(
            model, backbone, clips, order=order, selection=config.selection, progress=f"evaluating {config.split}"
        )
    except BrokenClip as error:
        raise ClipError(f"{error}; or evaluate without the videos that cannot be read: --skip-broken") from error
    swap = swap_test(played, backbone, clips, order=order, progress="swap test")
    judgement = judgement_of({config.selection: played}, swap, clips, views=views)
    judgement = replace(judgement, split=config.split, recalibrated=config.recalibrate, best=config.best)
    if config.accounting != "causal":
        own = agent_macs(model, layout)
        counted = accounted_cost(played, backbone, own, accounting=config.accounting)
        official = over_clips(counted.reshape(-1, views).mean(1), cluster=cluster_of(clips, views=views))
        judgement = judgement.with_figure(f"cost_{config.accounting}", official)
    return judgement


def describe_judgement(run: Run, judgement: Judgement) -> str:
    """A judgement under one selection as text."""
    figures = judgement.figures[judgement.selection]
    moment = " at its best on validation clips" if judgement.best else ""
    recalibration = ", BatchNorms recalibrated," if judgement.recalibrated else ""
    of_views = f", {judgement.views} views each: the cost is that of one" if judgement.views > 1 else ""
    of_sources = f", cut from {judgement.sources} source{'s' * (judgement.sources > 1)}" if judgement.sources else ""
    together = ", those of one source together" if judgement.sources else ""
    skipped = f", {judgement.skipped} broken videos skipped" if judgement.skipped else ""
    lines = [
        f"{run}{moment}: {judgement.selection} policy{recalibration} on {judgement.clips} clips of "
        f"{judgement.split}{of_sources}{of_views}{skipped}",
        f"accuracy {figures['accuracy']:.1f} % (ᶜ: 95% interval over clips{together})",
        f"cost     {figures['cost']:.3f} of the dense CNN's MACs, the agent's own included",
    ]
    if "cost_adafuse" in figures:
        lines.append(f"cost     {figures['cost_adafuse']:.3f} as AdaFuse's code counts it, errors included")
    if judgement.confusion and not confusion.is_balanced(judgement.confusion):
        lines.insert(2, f"mean of the classes' accuracies {figures['class_accuracy']:.1f} %")
    if judgement.confusion:
        lines += confusion.describe(judgement.confusion, judgement.classes)
    for site, shares in judgement.shares.items():
        lines.append(f"  {site}: {', '.join(f'{decision} {share:.2f}' for decision, share in shares.items())}")
    for name, accuracy in judgement.pairs.items():
        lines.append(f"  {name}: {accuracy:.1f}%")
    if judgement.swap is not None:
        lines.append(
            "swap test: {accuracy:.1f}% right with the decisions of the reversed clip, {follows:.1f}% follow those "
            "decisions".format(**judgement.swap)
        )
    lines.append(
        "variance of decisions {variance:.3f}: {between_clips:.0%} between clips, {between_frames:.0%} between frames, "
        "{rest:.0%} a clip's own course; {constant:.0%} of decisions never change".format(**judgement.adaptivity["all"])
    )
    return "\n".join(lines)
