"""The CNN, its fusion of frames and its cost. Knows no reinforcement learning and no video files."""

from typing import TYPE_CHECKING

from backbone.common.lazy import lazy_names

if TYPE_CHECKING:
    from backbone.cnns import BACKBONES, create_cnn, register_backbone
    from backbone.cost.ledger import Ledger
    from backbone.cost.walk import CostWalk, walk_macs
    from backbone.decision import Decision, one_hot
    from backbone.fusion.backbone import FusionBackbone
    from backbone.fusion.consensus import register_consensus
    from backbone.fusion.sites import Site
    from backbone.fusion.state import FusionState, Observation, WalkResult
    from backbone.fusion.temporal import register_temporal
    from backbone.weights.checkpoints import load_backbone, load_weights, num_classes_of, save_backbone
    from backbone.weights.fold import fold_batchnorm
    from backbone.weights.published import find_weights, imagenet_weights
    from backbone.weights.recalibrate import recalibrate

__getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "BACKBONES",
    "CostWalk",
    "Decision",
    "FusionBackbone",
    "FusionState",
    "Ledger",
    "Observation",
    "Site",
    "WalkResult",
    "create_cnn",
    "find_weights",
    "fold_batchnorm",
    "imagenet_weights",
    "load_backbone",
    "load_weights",
    "num_classes_of",
    "one_hot",
    "recalibrate",
    "register_backbone",
    "register_consensus",
    "register_temporal",
    "save_backbone",
    "walk_macs",
]
