import pytest
from registries import as_before

from agent import GateOptions, evaluate
from agent.estimators.relaxations import register_relaxation
from backbone import Decision
from experiments.clips import open_clips
from experiments.config import Data, Train
from experiments.loading import open_frozen
from experiments.methods import METHODS, build_method, register_method, register_pathwise


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_registered_method_learns_and_predicts(videos, backbone_file, method):
    config = Train(backbone=backbone_file, data=Data(root=videos), method=method, num_clips=2, rollouts_per_clip=2,
                   batch_size=4, device="cpu", seed=3)  # fmt: skip
    model = build_method(
        config, open_frozen(config.backbone, group_size=1, device="cpu"), open_clips(config.data, "train")
    )
    model.learn(12)
    assert model.num_timesteps >= 12
    actions, _ = model.predict(model.env.reset(), deterministic=True)
    assert actions.shape == (4, *model.action_space.shape)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_gates_are_those_of_the_configuration(videos, backbone_file, method):
    config = Train(backbone=backbone_file, data=Data(root=videos), method=method, num_clips=2, rollouts_per_clip=2,
                   batch_size=4, device="cpu", hidden_quota=256, gate_norm="batch", shared_gates=True)  # fmt: skip
    model = build_method(
        config, open_frozen(config.backbone, group_size=1, device="cpu"), open_clips(config.data, "train")
    )
    expected = {"hidden": 32, "quota": 256, "norm": "batch", "shared": True, "static": False}
    assert model.policy.gate == GateOptions(**({"static": True} if method == "static" else expected))
    assert list(model.env.get_attr("episodes")[0].agent_macs) == model.policy.agent_macs


@pytest.mark.parametrize("method", sorted(METHODS))
def test_without_reuse_no_method_reuses(videos, backbone_file, method):
    config = Train(backbone=backbone_file, data=Data(root=videos), method=method, num_clips=2, rollouts_per_clip=2,
                   batch_size=4, device="cpu", reuse=False)  # fmt: skip
    backbone, clips = open_frozen(config.backbone, group_size=1, device="cpu"), open_clips(config.data, "train")
    model = build_method(config, backbone, clips)
    model.learn(12)
    assert (evaluate(model, backbone, clips, selection="sampled").shares[:, Decision.REUSE] == 0).all()


def test_methods_start_from_the_same_weights_and_see_the_same_clips(videos, backbone_file):
    first = {}
    for method in ("reinforce", "ppo", "gumbel"):
        config = Train(backbone=backbone_file, data=Data(root=videos), method=method, num_clips=4, rollouts_per_clip=2,
                       batch_size=4, device="cpu", seed=5)  # fmt: skip
        model = build_method(
            config, open_frozen(config.backbone, group_size=1, device="cpu"), open_clips(config.data, "train")
        )
        model.env.reset()
        labels = model.env.take_clips()[1].tolist()
        first[method] = (labels, [value.tolist() for value in model.policy.gates.state_dict().values()])
    assert first["reinforce"] == first["ppo"] == first["gumbel"]


def test_a_name_can_be_taken_once():
    with pytest.raises(ValueError, match="registered already"):
        register_method(METHODS["rebar"])


def test_a_relaxation_becomes_a_method_of_its_name(videos, backbone_file):
    with as_before():

        @register_pathwise
        @register_relaxation(temperature=0.7)
        def probabilities(logits, temperature):
            return (logits / temperature).softmax(-1)

        with pytest.raises(ValueError, match="registered already"):
            register_pathwise(probabilities)
        config = Train(backbone=backbone_file, data=Data(root=videos), method="probabilities", device="cpu")
        frozen = open_frozen(config.backbone, group_size=1, device="cpu")
        model = build_method(config, frozen, open_clips(config.data, "train"))
    assert (model.relaxation.function, model.temperature) == (probabilities, 0.7)


def test_what_is_no_relaxation_becomes_no_method():
    with pytest.raises(ValueError, match="expected a relaxation among"):
        register_pathwise(open_clips)
