"""Backbones by name. A new one is a new file with a function under ``@register_backbone``, imported in __init__."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from backbone.common.naming import did_you_mean

BACKBONES: dict[str, Callable[..., nn.Module]] = {}


def register_backbone(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Record a constructor ``build(num_classes, **kwargs) -> CNN`` under its function's name."""
    if build.__name__ in BACKBONES:
        raise ValueError(f"a backbone named {build.__name__} is registered already: choose another name")
    BACKBONES[build.__name__] = build
    return build


def create_cnn(name: str, *, num_classes: int, **kwargs) -> nn.Module:
    """Build a registered CNN with fresh weights.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    if name not in BACKBONES:
        raise ValueError(
            f"expected a backbone among {', '.join(sorted(BACKBONES))}; got {name!r}{did_you_mean(name, BACKBONES)}"
        )
    return BACKBONES[name](num_classes=num_classes, **kwargs)
