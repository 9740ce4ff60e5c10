"""Weights in and out: checkpoints of other programs, and our own backbones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
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
from backbone.weights.foreign import ADAFUSE, CLASSIFIER, CLASSIFIERS, TSM, translate
from backbone.weights.published import PUBLISHED

OURS = "a backbone of this project"
WORDS = ("imagenet", *(published.name for published in PUBLISHED))  # that stand for a file in --weights
SAVED_ELSEWHERE = "was it saved from another backbone or for another number of classes?"
LISTED = 3  # keys of a kind, in messages
CONSENSUS = "consensus."  # prefix of the consensus' tensors beside the CNN's


@dataclass(frozen=True)
class LoadedWeights:
    """What ``load_weights`` found.

    :param layout: whose file it was, in words
    :param num_classes: of the file's classifier; None for a feature extractor, which has none
    :param fresh_classifier: the CNN has other classes, or the file has no classifier: it has kept its own
    :param left_out: what else the file holds, that fits nothing: (what, tensors)
    """

    layout: str
    num_classes: int | None
    fresh_classifier: bool
    left_out: Mapping[str, int] = field(default_factory=dict)

    def in_words(self, classes: int) -> str:
        """``"a plain state dict without a classifier, a fresh classifier for 8 classes"``.

        :param classes: of the CNN
        """
        lacks = " without a classifier" if self.num_classes is None else ""
        fresh = f", a fresh classifier for {classes} classes" if self.fresh_classifier else ""
        left = ", ".join(f"{what} ({count})" for what, count in list(self.left_out.items())[:LISTED])
        more = ", ..." if len(self.left_out) > LISTED else ""
        return f"{self.layout}{lacks}{fresh}" + (f"; tensors left out that fit nothing: {left}{more}" if left else "")

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
    (Lin et al., 2019), MMAction2's, EfficientNet-Lite0's published one, and backbones that ``save_backbone`` wrote (the
    CNN's part); wherever in the file they stand, and whatever their names begin with (``translate``). The classifier is taken only if its number of classes agrees; else, and where the file has none, the CNN keeps its
    fresh one.

    :raises ValueError: the file is missing, unreadable, of AdaFuse, or any other key is missing, unknown or of another
        shape
    """
    name = _classifier_name(cnn)
    layout, num_classes, tensors, left_out = _read(path, _shapes(cnn.state_dict(), name))
    if layout == ADAFUSE:
        raise ValueError(
            f"expected the weights of a CNN alone in {path}, got a checkpoint of AdaFuse with its gates: take it over "
            f"whole by python -m experiments import {path}"
        )
    if layout != OURS:
        tensors = _rename_classifier(tensors, name)
    fresh = num_classes != cnn.classifier.out_features
    if fresh:
        own = {key: value for key, value in cnn.state_dict().items() if key.startswith(f"{name}.")}
        tensors |= {key: own[key] for key in own.keys() & tensors.keys() or own}  # half a classifier stays half
    load_state(cnn, tensors, path, lambda: _whose(tensors, cnn))
    return LoadedWeights(layout, num_classes, fresh, left_out)


def num_classes_of(path: Path) -> int:
    """Classes that a file's classifier tells apart; of every layout that ``load_weights`` knows, and AdaFuse's.

    :raises ValueError: the file is missing, unreadable, no checkpoint of a CNN, or one without a classifier
    """
    num_classes = _read(path)[1]
    if num_classes is None:
        raise ValueError(
            f"expected a classifier in {path} ({', '.join(CLASSIFIERS)}), got a feature extractor, which has none: name "
            "a file that tells classes apart"
        )
    return num_classes


def _read(path: Path, names: Collection[str] = ()) -> tuple[str, int | None, dict[str, Tensor], Mapping[str, int]]:
    """Layout, number of classes if there are any, the CNN's tensors (of foreign files under foreign.CLASSIFIER), what is left.

    :param names: of the CNN's tensors; where none of them is in the file, those of every registered CNN are looked for
    """
    data = read_file(path)
    if isinstance(data, dict) and "format" in data:
        content, tensors = load_checkpoint(path, "backbone")
        return OURS, len(_facts(content, path)["classes"]), _split_consensus(tensors)[0], {}
    weights = translate(data, path, names)
    if not weights.known:
        weights = translate(data, path, registered_names())
    return weights.layout, weights.num_classes, weights.tensors, weights.left_out


def registered_names() -> set[str]:
    """Names of the tensors of all registered CNNs, but for their classifiers'."""
    return {key for architecture in BACKBONES for key in _shapes_of(architecture)}


def read_file(path: Path) -> object:
    """What a file of tensors holds.

    :raises ValueError: no such file, or no tensors in it
    """
    if not Path(path).is_file():
        suggestion = did_you_mean(str(path), WORDS) or paths_nearby(path)
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
    found = _shapes(tensors, CLASSIFIER)

    def agreement(name: str) -> float:
        own = _shapes_of(name)
        return sum(found.get(key) == shape for key, shape in own.items()) / len(own | found)

    name = max(BACKBONES, key=agreement)
    cnn = create_cnn(name, num_classes=len(tensors[f"{CLASSIFIER}.weight"]), **kwargs)
    tensors = _rename_classifier(tensors, _classifier_name(cnn))
    load_state(cnn, tensors, f"{path} (of all backbones {name} is the nearest)")
    return cnn, name


def _classifier_name(cnn: FusibleModule) -> str:
    return next(name for name, module in cnn.named_modules() if module is cnn.classifier)


def _shapes(tensors: dict[str, Tensor], classifier: str) -> dict[str, torch.Size]:
    """By key; but for the classifier, and the counters that old files lack."""
    kept = (key for key in tensors if not key.startswith(f"{classifier}.") and not key.endswith("num_batches_tracked"))
    return {key: tensors[key].shape for key in kept}


def _shapes_of(architecture: str) -> dict[str, torch.Size]:
    """The same of a registered CNN."""
    return _shapes_built_by(BACKBONES.find(architecture))


@cache
def _shapes_built_by(build: Callable[..., Any]) -> dict[str, torch.Size]:
    with torch.device("meta"):
        cnn = build(num_classes=1)
    return _shapes(cnn.state_dict(), _classifier_name(cnn))


def _whose(tensors: dict[str, Tensor], cnn: FusibleModule) -> str:
    """What weights that do not fit a CNN probably are, to end an error's sentence."""
    name = _classifier_name(cnn)
    found, own = _shapes(tensors, name), _shapes(cnn.state_dict(), name)
    if found == own:  # the classifier alone is at odds
        return SAVED_ELSEWHERE
    fitting = [architecture for architecture in BACKBONES if _shapes_of(architecture) == found]
    if fitting:
        return f"they are those of --architecture {fitting[0]}"
    kernels, own_kernels = ({key: shape[2:] for key, shape in shapes.items()} for shapes in (found, own))
    if kernels == own_kernels:
        return "they are of a wider or narrower variant of it, which no architecture here is"
    return SAVED_ELSEWHERE


def load_state(
    module: nn.Module, state: dict[str, Tensor], source: Path | str, hint: Callable[[], str] = lambda: SAVED_ELSEWHERE
) -> None:
    """``load_state_dict`` that lists what does not fit. ``num_batches_tracked`` may be absent: old files lack it.

    :param hint: asked for the end of the error's sentence
    :raises ValueError: missing, unknown or misshapen keys, tensors that are no plain finite numbers; a few of each by name
    """
    own, state = module.state_dict(), {key: value for key, value in state.items() if isinstance(value, Tensor)}
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    complaints = [
        f"{len(keys)} {what} ({_few(keys)})"
        for what, keys in (("missing", missing), ("unknown", extra), ("of another shape", shapes))
        if keys
    ]
    if complaints:
        raise ValueError(
            f"expected the weights of this architecture in {source}, got keys {'; '.join(complaints)}: {hint()}"
        )
    if odd := [key for key, value in state.items() if not _is_plain(value)]:
        raise ValueError(
            f"expected plain real numbers in {source}, got sparse, quantized, complex or no numbers in {len(odd)} tensors "
            f"({_few(odd)}): save the state dict of the model before it was converted"
        )
    if odd := [key for key, value in state.items() if not _is_finite(value)]:
        raise ValueError(
            f"expected finite numbers in {source}, got NaN or infinity in {len(odd)} tensors ({_few(odd)}): the training "
            "that wrote it had diverged, or the file is damaged; take an earlier checkpoint"
        )
    module.load_state_dict(state, strict=False)


def _few(keys: list[str]) -> str:
    return f"{', '.join(keys[:LISTED])}{', ...' if len(keys) > LISTED else ''}"


def _is_plain(tensor: Tensor) -> bool:
    """Dense and real, with its numbers on the CPU."""
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return dense and not tensor.is_quantized and not tensor.is_complex()


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.float()).all())


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
    _facts(content, path)
    cnn_tensors, consensus_tensors = _split_consensus(tensors)
    cnn = create_cnn(content["architecture"], num_classes=len(content["classes"]), size=content["size"])
    load_state(cnn, cnn_tensors, path)
    options = {name: content[name] for name in ("temporal", "consensus", "lstm_hidden") if name in content}
    backbone = FusionBackbone(
        cnn, sites=sites or content["sites"], history=history or content["history"], group_size=group_size, **options
    )
    load_state(backbone.consensus, consensus_tensors, path)
    return backbone.eval(), content


_FACTS = {"architecture": str, "size": int, "classes": list, "sites": list, "history": str}


def _facts(content: dict, path: Path | str) -> dict:
    """The facts of a saved backbone.

    :raises ValueError: one is missing, or of another kind
    """
    if odd := [name for name, kind in _FACTS.items() if type(content.get(name)) is not kind]:
        raise ValueError(f"expected {_few(odd)} of a backbone in {path}, got none, or others: the file is damaged")
    return content


def _split_consensus(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A saved backbone's tensors: the CNN's, and the consensus' under its own names."""
    cnn = {key: value for key, value in tensors.items() if not key.startswith(CONSENSUS)}
    return cnn, {key.removeprefix(CONSENSUS): value for key, value in tensors.items() if key not in cnn}
