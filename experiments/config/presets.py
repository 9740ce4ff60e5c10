"""What ``compare --preset`` sets: quick, default, full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COMPARISONS: dict[str, dict[str, Any]] = {
    "quick": {  # a demonstration of everything: a minute and a half on two cores
        "methods": ("reinforce", "ppo", "gumbel", "static"),
        "more_methods": (),
        "cost_weights": (1.0,),
        "seeds": (0,),
        "group_sizes": (1,),
        "rollouts": 3_072,
        "seconds": 0.0,
        "correctness_row": False,
        "pretrain_clips": 12_800,
        "pretrain_batch_size": 32,  # more updates: on so few clips accuracy leaves 50% with 32 and not with 64
        "accuracies": (60.0,),
        "budgets": (0.5,),
        "run": Path("runs/quick"),
    },
    "default": {  # three seeds of the agents on one backbone: under half an hour on two cores
        "methods": ("reinforce", "ppo", "gumbel", "static"),
        "more_methods": (),
        "cost_weights": (0.5, 1.0, 2.0, 4.0, 8.0),
        "seeds": (0, 1, 2),
        "group_sizes": (1,),
        "rollouts": 6_000,
        "seconds": 0.0,
        "correctness_row": False,
        "pretrain_clips": 80_000,
        "pretrain_batch_size": 64,
        "accuracies": (95.0, 90.0),
        "budgets": (0.2, 0.3),
        "run": Path("runs/compare"),
    },
    "full": {  # five seeds of backbone and agents, at equal rollouts and at equal time: two hours on two cores
        "methods": ("reinforce", "ppo", "rebar", "gumbel", "static"),
        "more_methods": (),
        "cost_weights": (0.5, 1.0, 2.0, 4.0, 8.0),
        "seeds": (0, 1, 2, 3, 4),
        "group_sizes": (8,),
        "rollouts": 8_000,
        "seconds": 10.0,
        "correctness_row": False,
        "pretrain_clips": 80_000,
        "pretrain_batch_size": 64,
        "accuracies": (95.0, 90.0),
        "budgets": (0.2, 0.3),
        "run": Path("runs/full"),
    },
}  # fmt: skip
