"""Runs over several ranks on this machine: processes that talk by gloo on loopback, and what is trained in them."""

import multiprocessing
import os
import pickle
import socket
import traceback

import numpy as np
import torch
from fusion_cases import small_clips, tiny_backbone
from stable_baselines3.common.callbacks import BaseCallback

from agent.algorithms.joint import JointTraining
from agent.algorithms.schedules import WarmupCosine
from agent.callbacks.following import FollowStatistics
from agent.pretraining.training import Pretraining
from agent.statistics import fit
from backbone import fold_batchnorm
from backbone.common import ranks
from backbone.weights.recalibrate import read_statistics
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from experiments.config import Train
from experiments.methods import build_method, env_of

UPDATES, CLIPS = 10, 4  # of a batch
WAITING = 400  # seconds for a rank's results


def over_ranks(count, work, *args):
    """What ``work(*args)`` returns on each rank, in their order.

    :param work: a module's function
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    processes = [context.Process(target=_rank, args=(rank, count, port, found, work, args)) for rank in range(count)]
    for process in processes:
        process.start()
    results = {}
    try:
        for _ in processes:
            rank, pickled = found.get(timeout=WAITING)
            result = pickle.loads(pickled)
            if isinstance(result, str):  # the others would wait for it
                raise AssertionError(f"rank {rank}: {result}")
            results[rank] = result
    finally:
        for process in processes:
            if len(results) < count:
                process.terminate()
            process.join()
    return [results[rank] for rank in range(count)]


def _rank(rank, count, port, found, work, args):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    try:
        ranks.start("gloo")
        result = work(*args)
        ranks.leave()
    except BaseException:
        result = traceback.format_exc()
    found.put((rank, pickle.dumps(result)))  # a tensor would be shared, with a process that has ended


class Watch(BaseCallback):
    """The weights after ten updates, and every decision on the way."""

    def __init__(self, cnn=None) -> None:
        super().__init__()
        self.decided = []

    def _on_rollout_end(self) -> None:
        buffer = getattr(self.model, "rollout_buffer", None)
        if buffer is not None:
            self.decided.append(np.array(buffer.actions, np.int8))

    def _on_step(self) -> bool:
        return True


def trajectories(cases):
    """name -> what a learner has become, flat, and the decisions of its rollouts, (S, all ranks' rows, columns) each."""
    return {name: trajectory(**how) for name, how in cases.items()}


def trajectory(method="pretraining", *, joint=False, follow=False, **options):
    """Ten updates from the same start."""
    if method == "pretraining":
        return pretrained(), []
    torch.manual_seed(0)
    source, clips = tiny_backbone("basic"), small_clips()
    config = Train(method=method, num_clips=CLIPS, batch_size=CLIPS, rollouts_per_clip=2, device="cpu", **options)
    config = config.settled()
    played = source if joint else fold_batchnorm(source).requires_grad_(False)
    model = build_method(config, played, clips)
    watch = Watch()
    callbacks = [watch]
    if follow:
        callbacks = [FollowStatistics(source, played, clips), *callbacks]
    if joint:
        callbacks.append(JointTraining(played, learning_rate=WarmupCosine(1e-2)))
    per_update = CLIPS * (2 if hasattr(model, "rollout_buffer") else 1)
    epochs = config.n_epochs * 2 if method.startswith("ppo") else 1
    model.learn(-(-UPDATES // epochs) * per_update * model.layout.num_steps, callback=callbacks)
    env_of(model).close()
    # a bias in front of a BatchNorm changes nothing but the mean there: its gradient is rounding, of which Adam makes steps
    idle = ("hidden.bias", "norm.running_mean") if config.gate_norm == "batch" else ()
    own = [part for name, part in model.policy.state_dict().items() if not name.endswith(idle)]
    parts = [*own, *(source.state_dict().values() if joint or follow else ())]
    flat = torch.cat([part.detach().flatten().double() for part in parts])
    return flat.numpy(), [np.concatenate(ranks.gathered(one), 1) for one in watch.decided]


def pretrained():
    torch.manual_seed(0)
    backbone, clips = tiny_backbone("basic"), small_clips()
    sampler = ClipSampler(len(clips), seed=0)
    loader = Loader(clips, sampler, ranks.share(CLIPS, "clips"), part=(ranks.rank(), ranks.count()))
    training = Pretraining(backbone, steps=UPDATES, learning_rate=0.04)
    while training.done < UPDATES:
        batch = next(loader)
        training.step(backbone.preprocess(batch.frames), batch.labels)
    return torch.cat([part.flatten().double() for part in backbone.state_dict().values()]).numpy()


def parts_of_a_run():
    """What every rank finds that does its part: of a batch, of statistics, of gradients and of random numbers."""
    backbone, clips = tiny_backbone("basic"), small_clips()
    torch.manual_seed(3)
    drawn = ranks.drawn(torch.rand, (12 // ranks.count(), 2))
    weight, unused = (torch.nn.Parameter(torch.zeros(3)) for _ in range(2))
    weight.grad = torch.arange(3.0) + ranks.rank()
    ranks.average_gradients([weight, unused])
    from agent import fixed_policy
    from envs.spaces import StepLayout

    policy = fixed_policy("shift 1/4, skip 1/4", StepLayout(backbone.sites, clips.num_frames, "site"))
    fitted = fit(policy, backbone, clips, count=8)
    return {
        "drawn": drawn,
        "gradient": weight.grad,
        "unused": unused.grad,
        "statistics": read_statistics(fitted),
        "any": [ranks.any_of(False), ranks.any_of(ranks.rank() == 0)],
        "mean": ranks.mean([float(ranks.rank()), 1.0]),
        "first": ranks.first_does(lambda: ranks.rank()),
        "gathered": ranks.gathered(ranks.rank()),
    }


def failing():
    """Rank 0 meets an error that all have to hear of."""
    try:
        ranks.first_does(lambda: int("no number"))
    except ValueError as error:
        return [str(error)]
    return "nothing"
