"""CNNs by name. A new one is a new file with a function under ``@register_backbone``, imported in __init__."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from backbone.common.registry import Registry

BACKBONES: Registry[Callable[..., nn.Module]] = Registry("backbone")


def register_backbone(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Record a constructor ``build(num_classes, **kwargs) -> CNN`` under its function's name.

    :raises ValueError: the name is taken
    """
    return BACKBONES.register(build)


def create_cnn(name: str, *, num_classes: int, **kwargs) -> nn.Module:
    """Build a registered CNN with fresh weights.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    return BACKBONES.find(name)(num_classes=num_classes, **kwargs)
