"""The file of a trained agent: any stable-baselines3 model in JSON and tensors, so that training goes on bit for bit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from agent.algorithms.fusion_algorithm import env_of
from backbone.common.files import load_checkpoint, save_checkpoint

KIND = "agent"


def save_agent(
    path: Path,
    model: BaseAlgorithm,
    *,
    cnn: dict[str, Any] | None = None,
    statistics: dict[str, dict[str, Tensor]] | None = None,
    **facts: Any,
) -> None:
    """Save policy, optimiser, counters, random generators and the place in the clips.

    To be called between rollouts: at the start of one, or after training.

    :param cnn: tensors of the run's own CNN under "backbone" (BatchNorms not folded), and what else it needs to train
        on; None where the agent plays on a CNN that is kept elsewhere
    :param statistics: of the CNN's BatchNorms, by whose they are: "followed" while it learns, "greedy" where it is judged
    :param facts: JSON facts about the run (its configuration, class names)
    """
    drawn = np.random.get_state(legacy=False)  # noqa: NPY002 (stable-baselines3 draws from it)
    version, internal, gauss = random.getstate()
    content = {
        "algorithm": type(model).__name__,
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "progress_remaining": model._current_progress_remaining,
        "env": env_of(model).env_method("state_dict", indices=[0])[0],
        "numpy": [drawn["state"]["pos"], drawn["has_gauss"], drawn["gauss"]],
        "python": [version, list(internal), gauss],
        "extra": model.extra_state() if hasattr(model, "extra_state") else {},
        "facts": facts,
    }
    generators = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(drawn["state"]["key"].astype(np.int64))}
    if torch.cuda.is_available():
        generators["cuda"] = torch.cuda.get_rng_state()
    tensors = {"parameters": model.get_parameters(), "generators": generators}
    own = {"cnn": cnn, "statistics": statistics}
    save_checkpoint(path, KIND, content, {**tensors, **{name: part for name, part in own.items() if part is not None}})


def save_policy(path: Path, model: Any, **facts: Any) -> None:
    """Save the weights of a policy that nothing here has trained, for ``load_agent(..., training=False)``.

    :param model: with a ``policy``; its class stands for the algorithm
    :param facts: as in ``save_agent``
    """
    content = {"algorithm": type(model).__name__, "facts": facts}
    save_checkpoint(path, KIND, content, {"parameters": {"policy": model.policy.state_dict()}})


def load_agent(path: Path, model: Any, *, training: bool = True) -> dict[str, Any]:
    """Put a saved agent's state into a model built like it; returns the facts saved with it.

    :param model: of stable-baselines3; or, without training, anything that has a ``policy``
    :param training: False takes the policy only, and leaves optimiser, generators and environment alone
    :raises ValueError: not a checkpoint of ours, or one of another algorithm or architecture
    """
    content, tensors = load_checkpoint(path, KIND)
    if content["algorithm"] != type(model).__name__:
        raise ValueError(
            f"expected a checkpoint of {type(model).__name__} in {path}, got one of {content['algorithm']}"
        )
    parameters = tensors["parameters"]
    try:
        if not training:
            model.policy.load_state_dict(parameters["policy"])
            return content["facts"]
        model.set_parameters(parameters, device=model.device)
    except (RuntimeError, ValueError) as error:
        raise _other_weights(path, error) from error
    model.num_timesteps = content["num_timesteps"]
    model._n_updates = content["n_updates"]
    model._current_progress_remaining = content["progress_remaining"]
    env_of(model).env_method("load_state_dict", content["env"], indices=[0])
    if hasattr(model, "load_extra_state"):
        model.load_extra_state(content["extra"])
    position, has_gauss, cached = content["numpy"]
    keys = tensors["generators"]["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, cached))  # noqa: NPY002
    version, internal, gauss = content["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(tensors["generators"]["torch"])
    if "cuda" in tensors["generators"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generators"]["cuda"])
    return content["facts"]


def load_cnn(path: Path) -> dict[str, Any] | None:
    """The run's own CNN, as it was given to ``save_agent``; None where the run has none of its own.

    :raises ValueError: not a checkpoint of ours
    """
    return load_checkpoint(path, KIND)[1].get("cnn")


def load_statistics(path: Path) -> dict[str, dict[str, Tensor]]:
    """The CNN's statistics, as they were given to ``save_agent``; none of a run that kept to those of its backbone's file.

    :raises ValueError: not a checkpoint of ours
    """
    return load_checkpoint(path, KIND)[1].get("statistics", {})


def load_gates(path: Path, model: BaseAlgorithm) -> None:
    """Put the gates of a saved agent into a model of this or any other method.

    :raises ValueError: not a checkpoint of ours, or gates of another architecture
    """
    policy, prefix = load_checkpoint(path, KIND)[1]["parameters"]["policy"], "gates."
    gates = {key.removeprefix(prefix): value for key, value in policy.items() if key.startswith(prefix)}
    try:
        model.policy.get_submodule("gates").load_state_dict(gates)
    except (RuntimeError, AttributeError) as error:  # a foreign policy has no gates
        raise _other_weights(path, error) from error


def _other_weights(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:200]
    return ValueError(
        f"expected weights for this backbone, group size and gate in {path}, got others ({reason}): "
        "use the configuration the run was trained with"
    )
