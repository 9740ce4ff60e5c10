"""Speeds as ratios, measured side by side: the only place where speed is judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.vec_env import DummyVecEnv
from tqdm import tqdm

from backbone import FusionBackbone, fold_batchnorm
from backbone.files import write_json
from envs import FusionEnv, FusionVecEnv
from envs.clips import ClipSource, motions
from envs.fusion_env import default_backbone
from experiments.config import Bench
from experiments.runs import provenance, set_up_cpu


class Ratio(NamedTuple):
    """Median time of a subject over that of its yardstick, and the quartiles of the pairs' ratios."""

    name: str
    ratio: float
    low: float
    high: float
    wanted: str
    met: bool


def bench(config: Bench) -> None:
    """Measure, print, and write JSON if a file is named. One thread."""
    set_up_cpu(1)
    clips = motions.sample(config.clips, seed=0)
    backbone = default_backbone(None, clips)
    ratios = [
        against_cnn(backbone, clips, config.repeats),
        against_single_envs(backbone, clips, config.repeats),
    ]
    table = Table(title=f"{config.clips} clips a batch, one thread, medians of {config.repeats} interleaved pairs")
    for column in ("measure", "ratio", "quartiles", "wanted", "met"):
        table.add_column(column)
    for found in ratios:
        quartiles = f"{found.low:.2f} to {found.high:.2f}"
        table.add_row(found.name, f"{found.ratio:.2f}", quartiles, found.wanted, "yes" if found.met else "no")
    Console().print(table)
    if config.json is not None:
        write_json(config.json, {"ratios": [found._asdict() for found in ratios], **provenance()})


def against_cnn(backbone: FusionBackbone, clips: ClipSource, repeats: int) -> Ratio:
    """An episode of the site-order VecEnv with random actions over the bare CNN's forward on the same clips.

    Both start from the same decoded pixels. The environment runs as in training, on a frozen backbone with its
    BatchNorms folded; the CNN is as it was made.
    """
    env = FusionVecEnv(fold_batchnorm(backbone), clips, num_clips=len(clips), order="site", train=False)
    env.reset()
    rng = np.random.default_rng(0)
    actions = [rng.integers(0, 3, (env.num_envs, env.action_space.shape[0])) for _ in range(env.layout.num_steps)]
    pixels = torch.from_numpy(env.episodes.pixels)

    def episode() -> None:
        for chosen in actions:
            env.step(chosen)

    @torch.no_grad()
    def forward() -> None:
        backbone.cnn(backbone.preprocess(pixels).flatten(0, 1))

    subject, yardstick = interleave(episode, forward, repeats, "site order against the bare CNN")
    return summarise(
        "vector env, order=site: an episode's steps / bare CNN's forward", subject, yardstick, 1.25, below=True
    )


def against_single_envs(backbone: FusionBackbone, clips: ClipSource, repeats: int) -> Ratio:
    """An episode of as many single environments in SB3's DummyVecEnv over one of the frame-order VecEnv."""
    batched = FusionVecEnv(backbone, clips, num_clips=len(clips), order="frame", train=False)
    single = DummyVecEnv([lambda: FusionEnv(backbone, clips, order="frame", train=False) for _ in range(len(clips))])
    rng = np.random.default_rng(0)
    shape = (batched.num_envs, batched.action_space.shape[0])
    actions = [rng.integers(0, 3, shape) for _ in range(batched.layout.num_steps)]
    batched.reset()
    single.reset()

    def play(env: FusionVecEnv | DummyVecEnv) -> Callable[[], None]:
        def episode() -> None:
            for chosen in actions:
                env.step(chosen)

        return episode

    subject, yardstick = interleave(play(single), play(batched), max(repeats // 3, 3), "frame order against single")
    name = f"order=frame: {len(clips)} single envs in DummyVecEnv / vector env"
    return summarise(name, subject, yardstick, 5.0, below=False)


def interleave(
    subject: Callable[[], None], yardstick: Callable[[], None], repeats: int, title: str
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each, in turn, the one that goes first changing from pair to pair; two pairs to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for pair in tqdm(range(-2, repeats), desc=title, disable=None, leave=False):
        for which in (0, 1) if pair % 2 else (1, 0):
            started = time.perf_counter()
            (subject, yardstick)[which]()
            if pair >= 0:
                times[which].append(time.perf_counter() - started)
    return np.array(times[0]), np.array(times[1])


def summarise(name: str, subject: np.ndarray, yardstick: np.ndarray, limit: float, *, below: bool) -> Ratio:
    """The medians' ratio against a limit."""
    ratio = float(np.median(subject) / np.median(yardstick))
    low, high = np.quantile(subject / yardstick, (0.25, 0.75))
    wanted = f"at {'most' if below else 'least'} {limit:g}"
    return Ratio(name, ratio, float(low), float(high), wanted, ratio <= limit if below else ratio >= limit)
