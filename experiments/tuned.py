"""How each method is trained where nothing else is said: chosen on validation clips by ``python -m experiments tune``.

Learning rate and updates per rollout are what methods differ most in, so each has its own; ``results/tuning`` and
``results/tuning-per-channel`` have the figures. The seeds and the backbone of that choice are no seeds of any comparison.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

UNTUNED: dict[str, Any] = {"learning_rate": 1e-2, "num_clips": 8, "batch_size": 32, "n_epochs": 2, "warmup": 0.2}
"""Of a method that nobody tuned, such as one of your own."""

TUNED: dict[int, dict[str, dict[str, Any]]] = {
    1: {
        "reinforce": {"num_clips": 4, "learning_rate": 2e-2, "warmup": 0.0},
        "ppo": {"num_clips": 4, "warmup": 0.0},
        "gumbel": {"batch_size": 8, "learning_rate": 2e-2, "warmup": 0.0},
        "static": {"learning_rate": 0.3, "warmup": 0.0},
    },
    8: {
        "reinforce": {"num_clips": 4, "warmup": 0.0},
        "ppo": {"num_clips": 4, "n_epochs": 1},
        "rebar": {"batch_size": 8},
        "gumbel": {"batch_size": 8, "learning_rate": 2e-2},
        "static": {"learning_rate": 0.3, "warmup": 0.0},
    },
}
"""What differs from that: by the channels that share a decision, and by method."""

FAMILIES = {
    "reinforce": ("reinforce_none", "reinforce_moving_average", "reinforce_self_critical", "reinforce_value"),
    "ppo": ("ppo_joint",),
    "gumbel": ("gumbel_soft", "straight_through", "reinmax"),
}
"""Methods that are trained as another, of which they are a variant."""


def tuned(method: str, group_size: int) -> dict[str, Any]:
    """The settings of a method, by the names of the options of ``train``.

    They are those of the group size that is the nearest, as a ratio, of those at which the method was tuned.
    """
    parent = next((name for name, variants in FAMILIES.items() if method in variants), method)
    found = {size: methods[parent] for size, methods in TUNED.items() if parent in methods}
    if not found:
        return dict(UNTUNED)
    nearest = min(found, key=lambda size: abs(math.log(size / group_size)))
    return {**UNTUNED, **found[nearest]}


def read_tuning(path: Path) -> dict[str, dict[str, Any]]:
    """Method -> its settings, of a tuning.json.

    :raises ValueError: no such file, or another
    """
    try:
        chosen = json.loads(path.read_text())["chosen"]
        return {method: dict(settings) for method, settings in chosen.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"expected a tuning.json that tune wrote in {path}, got {type(error).__name__}: {error}; make one by python -m "
            "experiments tune"
        ) from error
