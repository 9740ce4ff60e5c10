"""CNNs by name. A new one is a new file with a function under ``@register_backbone``, imported in __init__."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from backbone.common.registry import Registry
from backbone.fusion.sites import FusibleCNN, FusibleModule

BACKBONES: Registry[Callable[..., FusibleCNN]] = Registry("backbone")

Build = TypeVar("Build", bound=Callable[..., FusibleCNN])


def register_backbone(build: Build) -> Build:
    """Record a constructor ``build(num_classes, **kwargs) -> CNN`` under its function's name.

    :raises ValueError: the name is taken
    """
    BACKBONES.register(build)
    return build


def create_cnn(name: str, *, num_classes: int, **kwargs: Any) -> FusibleModule:
    """Build a registered CNN with fresh weights.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    return cast(FusibleModule, BACKBONES.find(name)(num_classes=num_classes, **kwargs))  # no intersection of types
