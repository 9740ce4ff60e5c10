"""Weights in and out: checkpoints of other programs, and our own backbones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbone.cnns.registry import BACKBONES, create_cnn
from backbone.common.files import load_checkpoint, load_tensors, save_checkpoint
from backbone.common.naming import did_you_mean, paths_nearby
from backbone.fusion.backbone import FusionBackbone
from backbone.fusion.sites import FusibleModule
from backbone.fusion.temporal import TEMPORAL_MODES
from backbone.weights.foreign import ADAFUSE, CLASSIFIER, TSM, translate

OURS = "a backbone of this project"
CONSENSUS = "consensus."  # prefix of the consensus' tensors beside the CNN's
DOWNLOADS = "https://download.pytorch.org/models/"
IMAGENET = {  # torchvision's files; each name ends in the first digits of the file's sha256
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "mobilenet_v2": "mobilenet_v2-b0353104.pth",
}


def imagenet_weights(architecture: str) -> Path:
    """Path of torchvision's ImageNet weights, which are downloaded once into torch.hub's folder of checkpoints.

    A file that is there already is checked as well, which torch.hub does not do.

    :raises ValueError: an architecture without such weights, no network, or a file with another hash
    """
    if architecture not in IMAGENET:
        raise ValueError(
            f"expected one of {', '.join(IMAGENET)} for ImageNet weights, got {architecture}, for which torchvision has "
            "none: give a file with --weights PATH, or start without"
        )
    path = Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET[architecture]
    prefix = path.stem.rpartition("-")[2]
    if path.is_file():
        if not _sha256(path).startswith(prefix):
            raise ValueError(
                f"expected a file whose sha256 begins with {prefix} at {path}, got {_sha256(path)[:8]}: it is damaged "
                "or another one; remove it, and it will be downloaded again"
            )
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(DOWNLOADS + path.name, str(path), hash_prefix=prefix)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another hash; nothing is kept then
        raise ValueError(
            f"expected to fetch {DOWNLOADS}{path.name}, could not ({' '.join(str(error).split())[:120]}): put that file "
            f"at {path}, or give a file with --weights PATH"
        ) from error
    return path


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class LoadedWeights:
    """What ``load_weights`` found.

    :param layout: whose file it was, in words
    :param num_classes: of the file's classifier
    :param fresh_classifier: the CNN has other classes, and has kept its own classifier
    """

    layout: str
    num_classes: int
    fresh_classifier: bool

    def warning(self, temporal: str) -> str | None:
        """A sentence where the CNN is about to run under another temporal option than its weights were trained for."""
        if self.layout != TSM or TEMPORAL_MODES.find(temporal).takes_tsm_weights:
            return None
        return (
            f'These weights were trained with the shift of TSM, but the CNN runs with temporal="{temporal}": expect '
            'poor features before long training, or choose temporal="tsm".'
        )


def load_weights(cnn: FusibleModule, path: Path) -> LoadedWeights:
    """Load a CNN's weights from a local file of any layout that is known here.

    These are torchvision's state dicts, those of BN-Inception, TSN and TSM checkpoints in the layout of TSM's code
    (Lin et al., 2019), and backbones that ``save_backbone`` wrote (the CNN's part). The classifier is taken only if its
    number of classes agrees; else the CNN keeps its fresh one.

    :raises ValueError: the file is missing, unreadable, of AdaFuse, or any other key is missing, unknown or of another
        shape
    """
    layout, num_classes, tensors = _read(path)
    if layout == ADAFUSE:
        raise ValueError(
            f"expected the weights of a CNN alone in {path}, got a checkpoint of AdaFuse with its gates: take it over "
            f"whole by python -m experiments import {path}"
        )
    name = next(name for name, module in cnn.named_modules() if module is cnn.classifier)
    if layout != OURS:
        tensors = _rename_classifier(tensors, name)
    own = cnn.state_dict()
    fresh = num_classes != cnn.classifier.out_features
    if fresh:
        kept = {key: value for key, value in own.items() if key.startswith(f"{name}.") and key in tensors}
        tensors = {**tensors, **kept}
    load_state(cnn, tensors, path)
    return LoadedWeights(layout, num_classes, fresh)


def num_classes_of(path: Path) -> int:
    """Classes that a file's classifier tells apart; of every layout that ``load_weights`` knows, and AdaFuse's.

    :raises ValueError: the file is missing, unreadable or no checkpoint of a CNN
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[str, int, dict[str, Tensor]]:
    """Layout, number of classes and the CNN's tensors; of foreign files under foreign.CLASSIFIER."""
    data = read_file(path)
    if isinstance(data, dict) and "format" in data:
        content, tensors = load_checkpoint(path, "backbone")
        return OURS, len(content["classes"]), _split_consensus(tensors)[0]
    weights = translate(data, path)
    return weights.layout, weights.num_classes, weights.tensors


def read_file(path: Path) -> object:
    """What a file of tensors holds.

    :raises ValueError: no such file, or no tensors in it
    """
    if not Path(path).is_file():
        suggestion = did_you_mean(str(path), ["imagenet"]) or paths_nearby(path)  # a word that stands for a file
        raise ValueError(f"expected a checkpoint at {path}, found no such file: check the path{suggestion}")
    return load_tensors(path)


def _rename_classifier(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    head = f"{CLASSIFIER}."
    return {f"{name}.{key[len(head) :]}" if key.startswith(head) else key: value for key, value in tensors.items()}


def load_foreign_cnn(tensors: dict[str, Tensor], path: Path, **kwargs: Any) -> tuple[FusibleModule, str]:
    """Build the registered CNN whose shapes a foreign state dict has, and load it: (CNN, its name in the registry).

    :param tensors: of ``ForeignWeights``
    :param path: of the file, for messages
    :param kwargs: of the CNN's constructor
    :raises ValueError: no registered CNN fits; the message says how the nearest differs
    """
    num_classes = len(tensors[f"{CLASSIFIER}.weight"])
    found = {key: value.shape for key, value in tensors.items()}

    def agreement(name: str) -> float:
        with torch.device("meta"):
            cnn = create_cnn(name, num_classes=num_classes)
        own = {key: value.shape for key, value in cnn.state_dict().items()}
        return sum(found.get(key) == shape for key, shape in own.items()) / len(own | found)

    name = max(BACKBONES, key=agreement)
    cnn = create_cnn(name, num_classes=num_classes, **kwargs)
    own_name = next(own for own, module in cnn.named_modules() if module is cnn.classifier)
    load_state(cnn, _rename_classifier(tensors, own_name), f"{path} (of all backbones {name} is the nearest)")
    return cnn, name


def load_state(module: nn.Module, state: dict[str, Tensor], source: Path | str) -> None:
    """``load_state_dict`` that lists what does not fit. ``num_batches_tracked`` may be absent: old files lack it.

    :raises ValueError: missing, unknown or misshapen keys, a few of each by name
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    complaints = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unknown", extra), ("of another shape", shapes))
        if keys
    ]
    if complaints:
        raise ValueError(
            f"expected the weights of this architecture in {source}, got keys {'; '.join(complaints)}: "
            "was it saved from another backbone or for another number of classes?"
        )
    module.load_state_dict(state, strict=False)


def save_backbone(path: Path, backbone: FusionBackbone, *, architecture: str, classes: list[str], **extra: Any) -> None:
    """Save a backbone with all that is needed to build it again.

    :param architecture: its name in the registry
    :param classes: class names, in the order of the logits
    :param extra: further JSON facts to keep (how it was trained, on what)
    """
    options = {name: value for name, value in backbone.options.items() if name != "group_size"}
    content = {
        "architecture": architecture,
        "size": backbone.cnn.size,
        "classes": list(classes),
        "sites": backbone.site_names,
        **options,
        **extra,
    }
    consensus = {f"{CONSENSUS}{key}": value for key, value in backbone.consensus.state_dict().items()}
    save_checkpoint(path, "backbone", content, {**backbone.cnn.state_dict(), **consensus})


def load_backbone(
    path: str | Path, *, group_size: int = 1, sites: str | list[str] | None = None, history: str | None = None
) -> tuple[FusionBackbone, dict]:
    """Rebuild a saved backbone, in eval mode; returns it and the facts saved with it.

    :param sites: another choice of sites than the saved one
    :param history: another history than the saved one
    :raises ValueError: not one of our backbones, or weights that do not fit
    """
    content, tensors = load_checkpoint(path, "backbone")
    cnn_tensors, consensus_tensors = _split_consensus(tensors)
    cnn = create_cnn(content["architecture"], num_classes=len(content["classes"]), size=content["size"])
    load_state(cnn, cnn_tensors, path)
    options = {name: content[name] for name in ("temporal", "consensus", "lstm_hidden") if name in content}
    backbone = FusionBackbone(
        cnn, sites=sites or content["sites"], history=history or content["history"], group_size=group_size, **options
    )
    load_state(backbone.consensus, consensus_tensors, path)
    return backbone.eval(), content


def _split_consensus(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A saved backbone's tensors: the CNN's, and the consensus' under its own names."""
    cnn = {key: value for key, value in tensors.items() if not key.startswith(CONSENSUS)}
    return cnn, {key.removeprefix(CONSENSUS): value for key, value in tensors.items() if key not in cnn}
