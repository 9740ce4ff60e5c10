import copy

import pytest
import torch
from agent_cases import tiny_backbone

from agent.pretraining.mix import RAMP
from agent.pretraining.training import MAX_NORM, WARMUP, Pretraining


def batch(seed: int = 0, clips: int = 4):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(clips, 2, 3, 8, 8, generator=generator)
    return frames, torch.arange(clips) % 2


def training(**kwargs) -> Pretraining:
    torch.manual_seed(0)
    options = {"steps": 20, "learning_rate": 0.05, **kwargs}
    return Pretraining(tiny_backbone(group_size=1).requires_grad_(True), **options)


def test_it_fits_a_batch():
    one = training(steps=40)
    losses = [one.step(*batch())[0] for _ in range(40)]
    assert min(losses[-10:]) < 0.6 * losses[0]  # the least: a policy that skips nearly everything may come last


def test_taken_up_again_it_goes_on_as_if_nothing_had_happened():
    whole = training()
    states = []
    for number in range(6):
        if number == 3:
            states = [copy.deepcopy(whole.state_dict()), whole.done]
        whole.step(*batch(number))
    again = training()
    again.load_state_dict(*states)
    for number in range(3, 6):
        again.step(*batch(number))
    for one, other in zip(whole.backbone.parameters(), again.backbone.parameters()):
        assert torch.equal(one, other)


def test_the_body_has_its_own_learning_rate():
    still = training(body_rate=0.0, weight_decay=0.0)
    before = {name: part.clone() for name, part in still.backbone.named_parameters()}
    for number in range(3):
        still.step(*batch(number))
    moved = {name for name, part in still.backbone.named_parameters() if not torch.equal(part, before[name])}
    assert moved == {"cnn.fc.weight", "cnn.fc.bias"}


def test_the_learning_rate_rises_and_falls_and_skips_come_in_later():
    one, rates, skips = training(steps=40), [], []
    real = one.backbone.forward

    def watched(frames, mix):
        skips.append(mix.level)
        return real(frames, mix)

    one.backbone.forward = watched
    for number in range(40):
        one.step(*batch(number, clips=1))
        rates.append(one.optimizer.param_groups[0]["lr"])
    peak = rates.index(max(rates))
    assert peak == pytest.approx(40 * WARMUP, abs=1)
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert not any(skips[: int(40 * RAMP[0])])
    assert any(skips[int(40 * RAMP[1]) :])


def test_outliers_of_the_gradient_are_shortened():
    one = training(learning_rate=1e-8)
    frames, labels = batch()
    one.step(1e4 * frames, labels)
    norm = torch.cat([part.grad.flatten() for part in one.backbone.parameters()]).norm()
    assert norm <= MAX_NORM * 1.001


def test_a_loss_that_is_not_finite_stops_it():
    frames, labels = batch()
    with pytest.raises(ValueError, match="expected a finite loss, got nan at batch 0: lower --learning-rate"):
        training().step(frames * float("nan"), labels)
