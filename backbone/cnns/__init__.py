"""The CNNs, behind one registry: a new one is a file here, imported below, or a module of your own."""

from backbone.cnns import bn_inception, efficientnet_lite, mobilenet_v2, resnet  # these register themselves
from backbone.cnns.registry import BACKBONES, create_cnn, register_backbone

__all__ = [
    "BACKBONES",
    "bn_inception",
    "create_cnn",
    "efficientnet_lite",
    "mobilenet_v2",
    "register_backbone",
    "resnet",
]
