import pytest
import torch
from fusion_cases import constant_decisions, follow, random_frames, tiny_backbone
from torch import nn

from backbone import Decision, fold_batchnorm, recalibrate
from backbone.weights.recalibrate import estimating, read_statistics, write_statistics


def norms(backbone) -> dict[str, nn.BatchNorm2d]:
    return {name: module for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)}


def inputs_of(backbone, frames, decide) -> dict[str, torch.Tensor]:
    """What reaches each BatchNorm, (N, C, H, W)."""
    seen = {}
    handles = [
        norm.register_forward_pre_hook(lambda module, args, name=name: seen.update({name: args[0].detach()}))
        for name, norm in norms(backbone).items()
    ]
    with torch.no_grad():
        backbone(frames, decide)
    for handle in handles:
        handle.remove()
    return seen


def skip(backbone, rows: int = 2):
    return follow(constant_decisions(backbone, Decision.SKIP, rows=rows))


def test_statistics_are_those_of_the_features_under_the_policy():
    backbone, frames = tiny_backbone(), random_frames()
    recalibrate(backbone, [frames], skip(backbone))
    first = inputs_of(backbone, frames, skip(backbone))
    for name, norm in norms(backbone).items():
        if name in ("cnn.bn1", "cnn.layer1.0.bn1", "cnn.layer1.0.bn2"):  # nothing before them has moved by rounding
            torch.testing.assert_close(norm.running_mean, first[name].mean((0, 2, 3)), atol=1e-3, rtol=1e-2)
    used = recalibrate(tiny_backbone(), [frames], backbone.all_use)
    assert not torch.allclose(norms(used)["cnn.layer1.0.bn2"].running_mean, first["cnn.layer1.0.bn2"].mean((0, 2, 3)))


def test_it_is_the_plain_mean_over_batches():
    frames, other = random_frames(seed=0), random_frames(seed=1)
    parts = []
    for batches in ([frames], [other], [frames, other]):
        parts.append(norms(recalibrate(tiny_backbone(), batches, None)))
    for one, two, both in zip(*(part.values() for part in parts)):
        torch.testing.assert_close(both.running_mean, (one.running_mean + two.running_mean) / 2)
        torch.testing.assert_close(both.running_var, (one.running_var + two.running_var) / 2)


def test_once_recalibrated_a_pass_equals_one_on_the_batchs_own_statistics():
    backbone, frames = tiny_backbone(), random_frames()
    recalibrate(backbone, [frames], None)
    with torch.no_grad():
        found = backbone(frames).logits
        for norm in norms(backbone).values():
            norm.train()
        expected = backbone(frames).logits
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)  # but for n / (n - 1) in the variance


def test_weights_modes_and_momenta_stay():
    backbone = tiny_backbone()
    before = {name: parameter.clone() for name, parameter in backbone.named_parameters()}
    momenta = {name: norm.momentum for name, norm in norms(backbone).items()}
    assert recalibrate(backbone, [random_frames()], None) is backbone
    assert all(torch.equal(parameter, before[name]) for name, parameter in backbone.named_parameters())
    assert {name: norm.momentum for name, norm in norms(backbone).items()} == momenta
    assert not any(module.training for module in backbone.modules())


def test_a_policy_that_fails_leaves_the_norms_in_eval_mode():
    backbone = tiny_backbone()

    def fail(observation):
        raise KeyError

    with pytest.raises(KeyError):
        recalibrate(backbone, [random_frames()], fail)
    assert all(norm.momentum is not None and not norm.training for norm in norms(backbone).values())


@pytest.mark.parametrize("backbone", [tiny_backbone("plain"), fold_batchnorm(tiny_backbone())])
def test_without_batch_norms_there_is_nothing_to_recalibrate(backbone):
    with pytest.raises(ValueError, match="expected a CNN with BatchNorms"):
        recalibrate(backbone, [random_frames()], None)


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(tiny_backbone(), [], None)


def test_with_a_momentum_the_statistics_move_by_so_much():
    frames = random_frames(seed=0)
    anew = read_statistics(recalibrate(tiny_backbone(), [frames], None))
    moved, before = tiny_backbone(), read_statistics(tiny_backbone())
    with torch.no_grad(), estimating(moved, 0.25):
        moved(frames)
    for name, part in read_statistics(moved).items():
        torch.testing.assert_close(part, 0.75 * before[name] + 0.25 * anew[name])


def test_statistics_are_read_and_written():
    one, other = tiny_backbone(), tiny_backbone()
    recalibrate(one, [random_frames()], None)
    found = read_statistics(one)
    assert write_statistics(other, found) is other
    assert all(torch.equal(part, found[name]) for name, part in read_statistics(other).items())
    next(iter(found.values())).zero_()
    assert any(part.any() for part in read_statistics(one).values())  # a copy
    assert len(found) == 2 * len(norms(one))  # a mean and a variance each


def test_statistics_of_another_cnn_are_refused():
    found = read_statistics(tiny_backbone())
    with pytest.raises(ValueError, match=r"expected statistics of this CNN's .* BatchNorm tensors"):
        write_statistics(tiny_backbone("bottleneck"), found)
    with pytest.raises(ValueError, match="got 0 of another"):
        write_statistics(tiny_backbone(), {})
