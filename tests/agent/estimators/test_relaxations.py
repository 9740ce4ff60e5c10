import math

import pytest
import torch

from agent.estimators.relaxations import gumbel_noise, straight_through_gumbel

LOGITS = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-3.0, 2.0, 1.0]])


def test_noise_has_the_moments_of_a_standard_gumbel():
    torch.manual_seed(0)
    noise = gumbel_noise(torch.empty(100_000, dtype=torch.float64))
    deviation = math.pi / math.sqrt(6)
    assert torch.isfinite(noise).all()
    assert abs(float(noise.mean()) - 0.5772) < 4.5 * deviation / math.sqrt(100_000)
    assert abs(float(noise.std()) / deviation - 1) < 0.02


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_decisions_are_one_hot_in_value(temperature):
    torch.manual_seed(0)
    value = straight_through_gumbel(LOGITS.expand(1000, 3, 3), temperature)
    torch.testing.assert_close(value.amax(-1), torch.ones(1000, 3))
    torch.testing.assert_close(value.sum(-1), torch.ones(1000, 3))
    assert value.min() > -1e-6


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_samples_are_exact_at_every_temperature(temperature):
    torch.manual_seed(0)
    draws = 20_000
    frequencies = straight_through_gumbel(LOGITS.expand(draws, 3, 3), temperature).double().mean(0)
    probs = LOGITS.double().softmax(-1)
    assert ((frequencies - probs) / (probs * (1 - probs) / draws).sqrt()).abs().max() < 4.5


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_gradient_is_that_of_the_soft_sample(temperature):
    logits = LOGITS.double().requires_grad_()
    weight = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    (gradient,) = torch.autograd.grad((straight_through_gumbel(logits, temperature) * weight).sum(), logits)
    torch.manual_seed(1)
    soft = ((logits + gumbel_noise(logits)) / temperature).softmax(-1)
    (expected,) = torch.autograd.grad((soft * weight).sum(), logits)
    torch.testing.assert_close(gradient, expected)
    assert gradient.abs().max() > 0


def test_noise_carries_no_gradient():
    assert not gumbel_noise(LOGITS.clone().requires_grad_()).requires_grad
