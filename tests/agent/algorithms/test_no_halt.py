"""Walks, rollouts and train steps wait for nothing: on a CPU by what they dispatch, on a GPU by torch's own watch."""

import pytest
import torch
from agent_cases import build, env_for, noise_clips, tiny_backbone
from no_halt import no_halt

from agent import GateNetwork, GateOptions
from backbone import one_hot

METHODS = ("reinforce, leave_one_out", "reinforce, self_critical", "reinforce, value", "gumbel", "rebar")
GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))
DEVICES = pytest.mark.parametrize("device", ["cpu", GPU])


@pytest.mark.parametrize(
    "halt",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: x.cpu(),
        lambda x: bool(x.any()),
    ],
)
def test_control_what_waits_is_refused(halt):
    x = torch.ones(3)
    with no_halt(), pytest.raises(AssertionError, match=r"waits for the device|read by the host"):
        halt(x)


@DEVICES
@pytest.mark.parametrize("history", ["raw", "fused"])
@torch.no_grad()
def test_a_gated_walk_and_its_cost(history, device):
    backbone = tiny_backbone(history=history).to(device)
    gates = GateNetwork(backbone.sites).to(device)
    frames = torch.randn(2, 3, 3, 8, 8).to(device)

    def walk():
        decided = backbone(
            frames, lambda o: one_hot(gates(o.site, o.v, o.v_previous).argmax(-1)), agent_macs=gates.macs
        )
        return decided.macs

    expected = walk()  # what is made once is made
    with no_halt():
        found = walk()
    assert torch.equal(found, expected)


@DEVICES
@pytest.mark.parametrize("order", ["site", "frame"])
@pytest.mark.parametrize("critic", [False, True])
@torch.no_grad()
def test_rollouts_until_they_are_whole(order, critic, device):
    env = env_for("ppo", tiny_backbone().to(device), order=order)
    model = build("reinforce, value" if critic else "reinforce, leave_one_out", env, device=device)
    env.reset()
    for again in range(2):
        if not critic:
            env.episodes.stop_counting()
        if again:
            with no_halt():
                steps(model, env)
        else:
            steps(model, env)
        env.finish()


def steps(model, env):
    for step in range(model.n_steps):
        actions, *_ = model.policy(env.observe(), site=step % 3)
        env.advance(actions)


@DEVICES
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("method", METHODS)
def test_train_steps_but_for_the_optimisers_own(method, norm, device):
    env = env_for(method, tiny_backbone().to(device), noise_clips(4))
    model = build(method, env, policy_kwargs={"gate": GateOptions(norm=norm)}, device=device)
    model.prepare_sampling()
    whole = method in ("gumbel", "rebar")
    clips = model.take_clips() if whole else ()

    def update():
        model.policy.optimizer.zero_grad()
        model.loss(*clips).backward()
        model.gradient_watch(model.policy.optimizer, (), {})

    if not whole:
        model.collect_rollouts(env, model.callback, model.rollout_buffer, model.n_steps)
    update()
    with no_halt():
        update()
