"""What being fusible and learning cost on a GPU, beside the dense CNN in the same precision."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from agent import REBAR, REINFORCE, FusionPPO, GateNetwork, PathwiseGradient, gate_macs
from agent.estimators.relaxations import straight_through_gumbel
from backbone import FusionBackbone, Observation, create_cnn, fold_batchnorm, one_hot
from envs import FusionVecEnv
from envs.clips import ArrayClips
from experiments.bench.measure import Ratio, interleave, summarise

FRAMES, CLASSES = 8, 174


def gpu_ratios(
    repeats: int,
    *,
    architecture: str = "resnet50",
    size: int = 224,
    clips: int = 8,
    rollouts: int = 8,
    device: str = "cuda",
) -> list[Ratio]:
    """Ratios to the dense forward or step of as many frames, in bf16; then rollouts a second, and the peak of memory.

    :param size: of the frames, pixels
    :param clips: of 8 frames, in a batch
    :param rollouts: of each clip, where methods play several
    :param device: "cpu" runs the same, which tells that it runs and nothing else
    :raises ValueError: no CUDA
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "expected a CUDA device for bench gpu, found none: bench cpu-ops has figures that need no device"
        )
    torch.manual_seed(0)
    backbone = FusionBackbone(create_cnn(architecture, num_classes=CLASSES, size=size)).to(device).eval()
    source = random_clips(clips, size)
    frozen = fold_batchnorm(backbone).requires_grad_(False).set_precision("bf16")
    ratios = [
        *walks(frozen, torch.randn(clips, FRAMES, 3, size, size, device=device), repeats),
        gumbel_step(backbone.set_precision("bf16"), clips, size, repeats),
        environment(frozen, source, rollouts, repeats),
        *learning(frozen, source, rollouts, repeats),
    ]
    return [*ratios, peak()] if device == "cuda" else ratios


def random_clips(count: int, size: int) -> ArrayClips:
    """Noise, a class for each index."""
    frames = np.random.default_rng(0).integers(0, 256, (count, FRAMES, size, size, 3), np.uint8)
    return ArrayClips(frames, np.arange(count) % CLASSES, [str(index) for index in range(CLASSES)])


def captured(run: Callable[[], object], name: str) -> Callable[[], object]:
    """The same as one CUDA graph; as it is, with a line that says why, where it cannot be one."""
    if not torch.cuda.is_available():
        return run
    try:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
    except RuntimeError as error:
        print(f"{name} stays eager: {str(error).splitlines()[0]}", file=sys.stderr)
        return run
    return graph.replay


def pairs(
    subject: Callable[[], object], yardstick: Callable[[], object], repeats: int, title: str
) -> tuple[np.ndarray, np.ndarray]:
    """``interleave``, each run to the device's end."""

    def whole(run: Callable[[], object]) -> Callable[[], None]:
        def timed() -> None:
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()

        return timed

    return interleave(whole(subject), whole(yardstick), repeats, title, warmup=3)


@torch.no_grad()
def walks(backbone: FusionBackbone, frames: Tensor, repeats: int) -> list[Ratio]:
    """All-use and gated walks over the dense forward: eager, and both captured."""
    gates = GateNetwork(backbone.sites).to(frames.device).eval()

    def dense() -> None:
        with torch.autocast(frames.device.type, torch.bfloat16):
            backbone.cnn(frames.flatten(0, 1))

    def gated() -> None:
        backbone(frames, lambda seen: one_hot(gates(seen.site, seen.v, seen.v_previous).argmax(-1)))

    found = []
    for name, walk, limit in (("all use", lambda: backbone(frames), 1.15), ("gated", gated, 1.25)):
        eager = pairs(walk, dense, repeats, name)
        graphs = pairs(captured(walk, name), captured(dense, "the dense forward"), repeats, f"{name}, captured")
        found += [
            summarise(f"walk, {name} / dense forward, bf16, eager", *eager, float("inf"), below=True)._replace(
                wanted="told"
            ),
            summarise(f"walk, {name} / dense forward, bf16, both captured", *graphs, limit, below=True),
        ]
    return found


def gumbel_step(backbone: FusionBackbone, clips: int, size: int, repeats: int) -> Ratio:
    """A Gumbel-softmax step of CNN and gates over a step of the dense CNN."""
    device, cnn = backbone.device, backbone.cnn
    gates = GateNetwork(backbone.sites).to(device)
    frames, labels = torch.randn(clips, FRAMES, 3, size, size, device=device), torch.arange(clips, device=device)
    both = torch.optim.SGD([*backbone.parameters(), *gates.parameters()], lr=1e-4)
    alone = torch.optim.SGD(cnn.parameters(), lr=1e-4)

    def decide(seen: Observation) -> Tensor:
        return straight_through_gumbel(gates(seen.site, seen.v, seen.v_previous), 0.67)

    def relaxed() -> None:
        result = backbone(frames, decide, agent_macs=gates.macs)
        cost = result.macs.mean() / (backbone.ledger.dense_macs * FRAMES)
        _step(both, F.cross_entropy(result.logits, labels) + cost.float())

    def plain() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            logits = cnn(frames.flatten(0, 1))
        _step(alone, F.cross_entropy(logits.float().unflatten(0, (clips, FRAMES)).mean(1), labels))

    times = pairs(relaxed, plain, repeats, "Gumbel step")
    return summarise("Gumbel-softmax step / dense step, bf16, eager", *times, 1.25, below=True)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def environment(backbone: FusionBackbone, clips: ArrayClips, rollouts: int, repeats: int) -> Ratio:
    """An episode's steps on the device over the dense forward of as many frames."""
    env = FusionVecEnv(backbone, clips, num_clips=len(clips), rollouts_per_clip=rollouts, order="site", train=False)
    env.reset()
    shape = (env.num_envs, env.layout.step_frames * env.layout.decisions)
    actions = [torch.randint(3, shape, device=backbone.device) for _ in backbone.sites]
    frames = env.episodes.frames.repeat_interleave(rollouts, 0).flatten(0, 1)

    def episode() -> None:
        env.episodes.restart()
        env.episodes.stop_counting()
        for chosen in actions:
            env.observe()
            env.advance(chosen)

    def dense() -> None:
        with torch.autocast(backbone.device.type, torch.bfloat16):
            backbone.cnn(frames)

    times = pairs(episode, dense, repeats, "environment")
    name = f"environment, order=site, {len(clips)} x {rollouts}: an episode's steps / dense forward, bf16, eager"
    return summarise(name, *times, 1.2, below=True)


def learning(backbone: FusionBackbone, clips: ArrayClips, rollouts: int, repeats: int) -> list[Ratio]:
    """Rollouts a second of each method while it learns, clips ready in memory."""
    methods: dict[str, tuple[Callable[..., Any], int, float]] = {
        "REINFORCE": (REINFORCE, rollouts, 600),
        "PPO": (FusionPPO, rollouts, 400),
        "Gumbel-softmax": (PathwiseGradient, 1, 500),
        "REBAR": (REBAR, 1, 60),
    }
    found = []
    for name, (method, each, limit) in methods.items():
        env = FusionVecEnv(
            backbone,
            clips,
            num_clips=len(clips),
            rollouts_per_clip=each,
            order="site",
            reward="log_prob",
            agent_macs=gate_macs(backbone.sites),
        )
        model = method(env, seed=0, device=backbone.device)
        steps, rates = env.num_envs * env.layout.num_steps, []
        for turn in range(max(repeats // 3, 1) + 1):
            started = time.perf_counter()
            model.learn(steps, reset_num_timesteps=False)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                rates.append(env.num_envs / (time.perf_counter() - started))
        rate, (low, high) = float(np.median(rates)), np.quantile(rates, (0.25, 0.75))
        met, wanted = rate >= limit, f"at least {limit:g}"
        found.append(Ratio(f"{name}: rollouts a second, bf16", rate, float(low), float(high), wanted, met))
    return found


def peak() -> Ratio:
    """Of memory that tensors took."""
    taken = torch.cuda.max_memory_allocated() / 2**30
    return Ratio(f"GiB at the peak, {torch.cuda.get_device_name()}", taken, taken, taken, "told", True)
