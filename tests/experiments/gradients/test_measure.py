import numpy as np
import pytest
import torch

from backbone import FusionBackbone
from experiments.gradients.measure import WARM_UP, count_passes, passes_per_rollout, sample
from experiments.gradients.problem import TinyProblem


@pytest.fixture(scope="module")
def problem():
    return TinyProblem()


def convolutions(backbone: FusionBackbone) -> int:
    """MACs of a dense frame."""
    return sum(layer.macs for layer in backbone.ledger.layers if not layer.linear)


def test_a_dense_forward_is_one_pass(problem):
    with count_passes(problem.backbone.cnn) as passes, torch.no_grad():
        problem.backbone.cnn(torch.zeros(6, 3, 8, 8))
    assert passes.forward == 6 * convolutions(problem.backbone)
    assert passes.backward == 0


def test_a_gradient_of_the_pixels_is_one_pass_back(problem):
    frames = torch.randn(6, 3, 8, 8, requires_grad=True)
    with count_passes(problem.backbone.cnn) as passes:
        problem.backbone.cnn(frames).sum().backward()
    assert passes.backward == passes.forward == 6 * convolutions(problem.backbone)


def test_nothing_is_counted_outside(problem):
    with count_passes(problem.backbone.cnn) as passes:
        pass
    problem.backbone.cnn(torch.zeros(1, 3, 8, 8))
    assert passes.forward == 0


@pytest.mark.parametrize("rollouts", [4, 16])
def test_rollouts_of_a_clip_share_what_lies_before_the_first_decision(problem, rollouts):
    layers = {layer.name: layer.macs for layer in problem.backbone.ledger.layers}
    shared = (layers["conv1"] + layers["layer1.0.conv1"]) / convolutions(problem.backbone)
    found = passes_per_rollout(problem.estimator("reinforce", rollouts), problem.backbone)
    assert found.forward == pytest.approx(1 - shared * (1 - 2 / rollouts))
    assert found.backward == 0


def test_a_relaxation_goes_back_to_the_first_decision(problem):
    layers = {layer.name: layer.macs for layer in problem.backbone.ledger.layers}
    behind = 1 - (layers["conv1"] + layers["layer1.0.conv1"]) / convolutions(problem.backbone)
    found = passes_per_rollout(problem.estimator("gumbel", 4), problem.backbone)
    assert found.forward == pytest.approx(1)
    assert found.backward == pytest.approx(behind)


def test_estimators_take_turns():
    order = []

    def called(name: str):
        def estimate() -> np.ndarray:
            order.append(name)
            return np.full(3, float(len(order)))

        return estimate

    found = sample({name: called(name) for name in "abc"}, 3, "")
    assert "".join(order[3 * WARM_UP :]) == "abcbcacab"
    assert sorted(order) == sorted("abc" * (3 + WARM_UP))
    np.testing.assert_array_equal(found["a"].gradients[:, 0], 3 * WARM_UP + np.array([1, 6, 8]))
    assert found["b"].seconds.shape == (3,)
