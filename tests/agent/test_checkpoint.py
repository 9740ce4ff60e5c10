import pickle
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from agent_cases import ALGORITHMS, METHODS, WHOLE_CLIPS, build, env_for, learn, noise_clips, tiny_backbone, weights
from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agent import GateOptions
from agent.callbacks.cost_warmup import CostWarmup
from agent.checkpoint import load_agent, load_cnn, load_gates, save_agent
from backbone.common.files import save_checkpoint
from backbone.common.interruption import Interrupted

FACTS = {"config": {"seed": 3}, "note": "kept"}


class SaveAndStop(BaseCallback):
    """Saves at the start of the rollout after some updates, and stops there."""

    def __init__(self, path, updates: int) -> None:
        super().__init__()
        self.path, self.updates = path, updates

    def _on_rollout_start(self) -> None:
        if self.model._n_updates or self.model.num_timesteps:
            self.updates -= 1
        if self.updates == 0:
            save_agent(self.path, self.model, **FACTS)
            raise Interrupted

    def _on_step(self) -> bool:
        return True


def fresh(method: str, seed: int = 3, **kwargs) -> BaseAlgorithm:
    """On 5 clips of 6 frames, 2 a batch: the order of clips and their segments matter."""
    env = env_for(method, tiny_backbone(), noise_clips(5, stored=6), seed=seed)
    return build(method, env, seed=seed, **kwargs)


def continued(
    method: str, updates: int, done: int, path, **kwargs
) -> tuple[BaseAlgorithm, BaseAlgorithm, list[torch.Tensor]]:
    """The same training twice: in one go, and cut in two with another seed's model in the second part."""
    whole = learn(fresh(method, **kwargs), updates, CostWarmup(2.0, 0.5))
    after_whole = torch.get_rng_state()
    first = fresh(method, **kwargs)
    with pytest.raises(Interrupted):
        learn(first, updates, [CostWarmup(2.0, 0.5), SaveAndStop(path, done)])
    generators = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    second = fresh(method, seed=8, **kwargs)
    torch.rand(10), np.random.rand(10), random.random()  # noqa: NPY002
    assert load_agent(path, second) == FACTS
    assert torch.equal(torch.get_rng_state(), generators[0])
    np.testing.assert_equal(np.random.get_state(), generators[1])  # noqa: NPY002
    assert random.getstate() == generators[2]
    learn(second, updates - done, CostWarmup(2.0, 0.5), reset_num_timesteps=False)
    return whole, second, [after_whole, torch.get_rng_state()]


def assert_same_state(one, other) -> None:
    """Nested dicts and lists of tensors and numbers."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_same_state(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("method", METHODS)
def test_training_that_was_interrupted_ends_as_if_it_had_not_been(method, tmp_path):
    whole, second, generators = continued(method, 6, 3, tmp_path / "checkpoint.pt")
    assert_same_state(second.get_parameters(), whole.get_parameters())
    assert_same_state(second.policy.optimizer.state_dict(), whole.policy.optimizer.state_dict())
    assert (second.num_timesteps, second._n_updates) == (whole.num_timesteps, whole._n_updates)
    assert second.env.state_dict() == whole.env.state_dict()
    assert second.reward == whole.reward
    assert torch.equal(*generators)
    if method not in WHOLE_CLIPS:
        for name in ("observations", "actions", "rewards", "advantages"):
            np.testing.assert_array_equal(getattr(second.rollout_buffer, name), getattr(whole.rollout_buffer, name))


@pytest.mark.parametrize("method", ALGORITHMS)
def test_gates_with_statistics_and_shared_layers_go_on_as_they_were(method, tmp_path):
    gate = GateOptions(quota=40, norm="batch", shared=True)
    whole, second, _ = continued(method, 6, 3, tmp_path / "checkpoint.pt", policy_kwargs={"gate": gate})
    assert_same_state(second.get_parameters(), whole.get_parameters())
    assert any(name.endswith("running_var") for name in whole.policy.state_dict())


@pytest.mark.parametrize("method", METHODS)
def test_the_optimisers_memory_is_in_the_checkpoint(method, tmp_path):
    model = learn(fresh(method), 2)
    save_agent(tmp_path / "checkpoint.pt", model)
    loaded = fresh(method, seed=8)
    load_agent(tmp_path / "checkpoint.pt", loaded)
    state = loaded.policy.optimizer.state_dict()
    assert state["state"]
    assert_same_state(state, model.policy.optimizer.state_dict())


def test_the_moving_average_is_in_the_checkpoint(tmp_path):
    model = learn(fresh("reinforce, moving_average"), 2)
    save_agent(tmp_path / "checkpoint.pt", model)
    loaded = fresh("reinforce, moving_average")
    load_agent(tmp_path / "checkpoint.pt", loaded)
    np.testing.assert_array_equal(loaded.baseline.average, model.baseline.average)
    assert loaded.baseline.average.dtype == model.baseline.average.dtype


def test_an_untrained_model_can_be_saved_too(tmp_path):
    model = fresh("reinforce, moving_average")
    save_agent(tmp_path / "checkpoint.pt", model)
    loaded = fresh("reinforce, moving_average", seed=8)
    load_agent(tmp_path / "checkpoint.pt", loaded)
    assert torch.equal(weights(loaded), weights(model))
    assert loaded.baseline.average is None


@pytest.mark.parametrize("method", METHODS)
def test_for_judging_the_policy_alone_is_taken(method, tmp_path):
    model = learn(fresh(method), 2)
    save_agent(tmp_path / "checkpoint.pt", model, **FACTS)
    loaded = fresh(method, seed=8)
    generator = torch.get_rng_state()
    assert load_agent(tmp_path / "checkpoint.pt", loaded, training=False) == FACTS
    assert torch.equal(weights(loaded), weights(model))
    assert torch.equal(torch.get_rng_state(), generator)
    assert loaded.num_timesteps == 0
    assert not loaded.policy.optimizer.state_dict()["state"]


@pytest.mark.parametrize("training", [True, False])
def test_a_checkpoint_of_another_algorithm_is_named(tmp_path, training):
    save_agent(tmp_path / "checkpoint.pt", fresh("ppo"))
    with pytest.raises(ValueError, match=r"expected a checkpoint of PathwiseGradient in .*, got one of FusionPPO"):
        load_agent(tmp_path / "checkpoint.pt", fresh("gumbel"), training=training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gate", [{"hidden": 7}, {"norm": "batch"}, {"shared": True}, {"static": True}])
def test_a_checkpoint_of_another_architecture_is_named(tmp_path, gate, training):
    save_agent(tmp_path / "checkpoint.pt", fresh("ppo"))
    with pytest.raises(ValueError, match="expected weights for this backbone, group size and gate") as error:
        load_agent(
            tmp_path / "checkpoint.pt", fresh("ppo", policy_kwargs={"gate": GateOptions(**gate)}), training=training
        )
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_baseline_with_a_critic_is_another_architecture(tmp_path):
    save_agent(tmp_path / "checkpoint.pt", fresh("reinforce, value"))
    with pytest.raises(ValueError, match="expected weights for this"):
        load_agent(tmp_path / "checkpoint.pt", fresh("reinforce, none"))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, share):
    path = tmp_path / "checkpoint.pt"
    save_agent(path, fresh("ppo"))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"^expected a file of tensors at .*checkpoint.pt"):
        load_agent(path, fresh("ppo"))


class Bomb:
    """Pickles to code that leaves a trace when it is loaded."""

    def __init__(self, trace) -> None:
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


@pytest.mark.parametrize("write", [lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=2)), torch.save])
def test_code_in_a_foreign_file_is_not_run(tmp_path, write):
    path, trace = tmp_path / "checkpoint.pt", tmp_path / "trace"
    write(Bomb(trace), path)
    with pytest.raises(ValueError, match="expected a file of tensors"):
        load_agent(path, fresh("ppo"))
    assert not trace.exists()
    torch.load(path, weights_only=False) if zip_file(path) else pickle.loads(path.read_bytes())
    assert trace.exists()  # the bomb was live


def zip_file(path) -> bool:
    return path.read_bytes()[:2] == b"PK"


@pytest.mark.parametrize("content", [{"weight": torch.zeros(2)}, OrderedDict(), [1, 2], torch.zeros(3)])
def test_tensors_of_another_program_are_named(tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="expected a checkpoint of format adafuse-rl/agent"):
        load_agent(tmp_path / "checkpoint.pt", fresh("ppo"))


def test_a_backbone_is_no_agent(tmp_path):
    save_checkpoint(tmp_path / "backbone.pt", "backbone", {}, {})
    with pytest.raises(ValueError, match=r"format adafuse-rl/agent in .*, got adafuse-rl/backbone"):
        load_agent(tmp_path / "backbone.pt", fresh("ppo"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="found no such file"):
        load_agent(tmp_path / "none.pt", fresh("ppo"))


def test_a_cnn_of_the_runs_own_comes_back_and_none_is_none(tmp_path):
    own = {"backbone": tiny_backbone(seed=4).state_dict()}
    save_agent(tmp_path / "own.pt", fresh("ppo"), cnn=own, **FACTS)
    save_agent(tmp_path / "none.pt", fresh("ppo"), **FACTS)
    assert_same_state(load_cnn(tmp_path / "own.pt"), own)
    assert load_cnn(tmp_path / "none.pt") is None
    assert load_agent(tmp_path / "own.pt", fresh("ppo")) == FACTS


@pytest.mark.parametrize("method", METHODS)
def test_gates_go_from_any_method_into_any_other(method, tmp_path):
    save_agent(tmp_path / "checkpoint.pt", learn(fresh("gumbel"), 1))
    model = fresh(method, seed=8)
    load_gates(tmp_path / "checkpoint.pt", model)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["tensors"]["parameters"]["policy"]
    assert all(torch.equal(value, saved[f"gates.{key}"]) for key, value in model.policy.gates.state_dict().items())
    assert not model.policy.optimizer.state_dict()["state"]


@pytest.mark.parametrize("gate", [{"hidden": 7}, {"norm": "batch"}, {"shared": True}, {"static": True}])
def test_gates_of_another_architecture_are_refused(tmp_path, gate):
    save_agent(tmp_path / "checkpoint.pt", fresh("gumbel"))
    with pytest.raises(ValueError, match="expected weights for this backbone, group size and gate"):
        load_gates(tmp_path / "checkpoint.pt", fresh("ppo", policy_kwargs={"gate": GateOptions(**gate)}))


def test_a_foreign_policy_takes_no_gates(tmp_path):
    save_agent(tmp_path / "checkpoint.pt", fresh("gumbel"))
    with pytest.raises(ValueError, match="expected weights for this backbone, group size and gate"):
        load_gates(tmp_path / "checkpoint.pt", A2C("MlpPolicy", env_for("ppo"), device="cpu"))
