"""What a pretrained CNN can do, before any agent exists."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import torch

from agent.evaluation import evaluate_together
from agent.policies.fixed import fixed_policy
from agent.pretraining.mix import MIXES
from agent.statistics import CLIPS, fit
from backbone import FusionBackbone
from backbone.weights.recalibrate import estimating, norms
from envs.clips import ClipSource
from envs.clips.sampler import ClipSampler
from envs.rollout import PIXELS_AT_ONCE
from envs.spaces import StepLayout

BATCH = 32  # clips under one random policy, fewer where they are large
MIX = "mix"
POLICIES = ("all use", "shift 1/4", "shift 1/4, skip 1/4")


def settle_statistics(
    backbone: FusionBackbone, clips: ClipSource, *, mix: str = "random", seed: int = 0
) -> FusionBackbone:
    """A copy in eval mode whose BatchNorm statistics are the mean over the policies of a mix.

    :param clips: training clips
    :param mix: at the end of training, a name in ``agent.pretraining.mix.MIXES``
    """
    settled = copy.deepcopy(backbone)
    _play_mix(settled, clips, min(CLIPS, len(clips)), mix=mix, seed=seed)
    return settled


def accuracies(
    backbone: FusionBackbone, train: ClipSource, clips: ClipSource, *, mix: str = "random", seed: int = 0
) -> dict[str, float]:
    """Percent of clips that a CNN classifies rightly, under each policy with its own BatchNorm statistics, and under a mix.

    :param train: clips to estimate statistics on
    :param clips: to judge on
    :param mix: as in ``settle_statistics``
    """
    found = {}
    for name in POLICIES:
        policy = fixed_policy(name, StepLayout(backbone.sites, clips.num_frames, "site"))
        found[name] = evaluate_together(policy, fit(policy, backbone, train), clips).accuracy
    found[MIX] = _play_mix(copy.deepcopy(backbone), clips, len(clips), mix=mix, seed=seed)
    return found


@torch.no_grad()
def _play_mix(backbone: FusionBackbone, clips: ClipSource, count: int, *, mix: str, seed: int) -> float:
    """Percent right over so many clips, a policy of the mix for each batch of them, whose statistics are used, as in training,
    and are left behind as plain means."""
    device, right = backbone.eval().device, 0
    order, _ = ClipSampler(len(clips), seed=seed).take(count)
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with forked, estimating(backbone) if norms(backbone) else nullcontext():
        torch.manual_seed(seed)
        at_once = min(BATCH, max(PIXELS_AT_ONCE // (clips.num_frames * clips.size**2), 1))
        for indices in np.array_split(order, max(count // at_once, 1)):
            frames, labels = clips.draw(indices, None)
            policy = MIXES.find(mix)(backbone.sites, device, 1.0)
            logits = backbone(backbone.preprocess(torch.from_numpy(frames)), policy).logits
            right += int((logits.argmax(-1).cpu() == torch.from_numpy(labels)).sum())
    return 100 * right / count


def chance(labels: np.ndarray) -> tuple[float, float]:
    """Percent that naming the commonest class would get right, and what that stays below in 39 of 40 samples of this size."""
    share = float(np.bincount(labels).max() / len(labels))
    return 100 * share, 100 * (share + 1.96 * math.sqrt(share * (1 - share) / len(labels)))


def in_words(found: Mapping[str, float], labels: np.ndarray) -> str:
    """Accuracies on validation clips, and a warning where they are no better than chance."""
    expected, limit = chance(labels)
    text = "Validation clips: " + ", ".join(f"{name} {accuracy:.1f}%" for name, accuracy in found.items())
    text += f" (chance: {expected:.1f}%)."
    low = [name for name, accuracy in found.items() if accuracy <= limit]
    if low == ["all use"]:
        return f"{text} Only time tells these classes: without reuse they cannot be told from chance."
    if low:
        rest = (
            "nothing was learned that an agent could use" if "shift 1/4" in low else "an agent has little room to skip"
        )
        text += (
            f"\nWarning: at chance on {len(labels)} clips: {', '.join(low)}. So {rest}: train on more clips, or longer."
        )
    return text
