"""How each method is trained where nothing else is said: chosen on validation clips by ``python -m experiments tune``.

Learning rate and updates per rollout are what methods differ most in, so each has its own; ``results/tuning`` has the
figures. The seeds and the backbone of that choice are no seeds of any comparison.
"""

from __future__ import annotations

from typing import Any

UNTUNED: dict[str, Any] = {"learning_rate": 1e-2, "num_clips": 8, "batch_size": 32, "n_epochs": 2, "warmup": 0.2}
"""Of a method that nobody tuned, such as one of your own."""

TUNED: dict[str, dict[str, Any]] = {
    "reinforce": {"num_clips": 4, "warmup": 0.0},
    "ppo": {"num_clips": 4, "n_epochs": 1},
    "rebar": {"batch_size": 8},
    "gumbel": {"batch_size": 8, "learning_rate": 2e-2},
    "static": {"learning_rate": 0.3, "warmup": 0.0},
}
"""What differs from that."""

FAMILIES = {
    "reinforce": ("reinforce_none", "reinforce_moving_average", "reinforce_self_critical", "reinforce_value"),
    "ppo": ("ppo_joint",),
    "gumbel": ("gumbel_soft", "straight_through", "reinmax"),
}
"""Methods that are trained as another, of which they are a variant."""


def tuned(method: str) -> dict[str, Any]:
    """The settings of a method, by the names of the options of ``train``."""
    parent = next((name for name, variants in FAMILIES.items() if method in variants), method)
    return {**UNTUNED, **TUNED.get(parent, {})}
