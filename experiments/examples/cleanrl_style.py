"""An algorithm of your own: REINFORCE in plain torch on the environment, top to bottom, as CleanRL writes them.

``python -m experiments.examples.cleanrl_style`` trains on the small CNN as it is, untrained, so that what can be learned is
to spend less; ``--weights runs/backbone/backbone.pt`` gives it a CNN that knows the classes.
"""

from __future__ import annotations

import argparse

import gymnasium
import torch
from gymnasium.spaces import Box, MultiDiscrete
from torch import nn
from torch.distributions import Categorical

import envs  # noqa: F401, which registers the environment


def train(env: gymnasium.vector.VectorEnv, *, updates: int, learning_rate: float = 0.01, seed: int = 0) -> list[float]:
    """Mean return of each update's episodes, one of every row of the environment."""
    torch.manual_seed(seed)
    observed, decided = env.single_observation_space, env.single_action_space
    assert isinstance(observed, Box)
    assert isinstance(decided, MultiDiscrete)
    width, decisions = observed.shape[0], decided.shape[0]
    policy = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 3 * decisions))
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    observation, info = env.reset(seed=seed)
    returns = []
    for update in range(updates):
        log_probs, rewards, over = [], [], False
        while not over:  # all episodes have the same length
            logits = policy(torch.as_tensor(observation)).unflatten(1, (decisions, 3))
            allowed = torch.as_tensor(info["action_mask"]).view_as(logits)  # of padding, use alone
            choice = Categorical(logits=logits.masked_fill(~allowed, -1e9))
            action = choice.sample()
            observation, reward, terminated, _, info = env.step(action.numpy())
            log_probs.append(choice.log_prob(action).sum(1))  # of all decisions of a step: (N,)
            rewards.append(torch.as_tensor(reward, dtype=torch.float32))
            over = terminated.all()
        to_go = torch.stack(rewards).flip(0).cumsum(0).flip(0)  # (steps, N): what a step can still change
        advantage = to_go - to_go.mean(1, keepdim=True)
        loss = -(advantage * torch.stack(log_probs)).sum(0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        returns.append(to_go[0].mean().item())
        if update % 10 == 0:
            print(f"update {update:4d}   mean return {returns[-1]:+.3f}", flush=True)
    return returns


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", help="a backbone that `python -m experiments pretrain` wrote")
    parser.add_argument("--updates", type=int, default=100)
    options = parser.parse_args()
    train(
        gymnasium.make_vec("AdaFuse/Fusion-v0", num_envs=64, order="site", weights=options.weights),
        updates=options.updates,
    )
