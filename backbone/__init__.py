"""The CNN, its fusion of frames and its cost. Knows no reinforcement learning and no video files."""

from backbone import bn_inception as bn_inception  # these register the backbones
from backbone import mobilenet_v2 as mobilenet_v2
from backbone import resnet as resnet
from backbone.decision import Decision, one_hot
from backbone.flops import Ledger
from backbone.fold import fold_batchnorm
from backbone.fusion import FusionBackbone, FusionState, Observation, WalkResult
from backbone.recalibrate import recalibrate
from backbone.registry import BACKBONES, create_cnn, register_backbone
from backbone.sites import Site
from backbone.weights import imagenet_weights, load_backbone, load_weights, num_classes_of, save_backbone

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
    "imagenet_weights",
    "load_backbone",
    "load_weights",
    "num_classes_of",
    "one_hot",
    "recalibrate",
    "register_backbone",
    "save_backbone",
]
