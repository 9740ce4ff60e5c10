"""The CNN, its fusion of frames and its cost. Knows no reinforcement learning and no video files."""

from backbone import resnet as resnet  # registers the ResNets
from backbone.decision import Decision, one_hot
from backbone.flops import Ledger
from backbone.fold import fold_batchnorm
from backbone.fusion import FusionBackbone, FusionState, Observation, WalkResult
from backbone.registry import BACKBONES, create_cnn, register_backbone
from backbone.sites import Site
from backbone.weights import load_backbone, load_torchvision, save_backbone

__all__ = [
    "BACKBONES",
    "Decision",
    "FusionBackbone",
    "FusionState",
    "Ledger",
    "Observation",
    "Site",
    "WalkResult",
    "create_cnn",
    "fold_batchnorm",
    "load_backbone",
    "load_torchvision",
    "one_hot",
    "register_backbone",
    "save_backbone",
]
