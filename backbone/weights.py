"""Foreign checkpoints in, ours in and out."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from backbone.files import load_checkpoint, load_tensors, save_checkpoint
from backbone.fusion import FusionBackbone
from backbone.registry import create_cnn


def load_torchvision(cnn: nn.Module, path: Path) -> None:
    """Load a local torchvision state dict (``resnet50-0676ba61.pth`` and its like) into a ResNet.

    The classifier ``fc`` is taken only if its number of classes agrees; else the CNN keeps its fresh one.

    :raises ValueError: the file is missing or unreadable, or any other key is missing, unknown or of another shape
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"expected a torchvision checkpoint at {path}, found no such file: check the path")
    state = load_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"expected a plain state dict of tensors in {path}, got {type(state).__name__}")
    own = cnn.state_dict()
    if "fc.weight" in state and state["fc.weight"].shape != own["fc.weight"].shape:
        state = {**state, "fc.weight": own["fc.weight"], "fc.bias": own["fc.bias"]}
    load_state(cnn, state, path)


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


def save_backbone(path: Path, backbone: FusionBackbone, *, architecture: str, classes: list[str], **extra) -> None:
    """Save a backbone with all that is needed to build it again.

    :param architecture: its name in the registry
    :param classes: class names, in the order of the logits
    :param extra: further JSON facts to keep (how it was trained, on what)
    """
    content = {
        "architecture": architecture,
        "size": backbone.cnn.size,
        "classes": list(classes),
        "sites": backbone.site_names,
        "history": backbone.history,
        **extra,
    }
    save_checkpoint(path, "backbone", content, backbone.cnn.state_dict())


def load_backbone(
    path: Path, *, group_size: int = 1, sites: str | list[str] | None = None, history: str | None = None
) -> tuple[FusionBackbone, dict]:
    """Rebuild a saved backbone, in eval mode; returns it and the facts saved with it.

    :param sites: another choice of sites than the saved one
    :param history: another history than the saved one
    :raises ValueError: not one of our backbones, or weights that do not fit
    """
    content, tensors = load_checkpoint(path, "backbone")
    cnn = create_cnn(content["architecture"], num_classes=len(content["classes"]), size=content["size"])
    load_state(cnn, tensors, path)
    backbone = FusionBackbone(
        cnn, sites=sites or content["sites"], history=history or content["history"], group_size=group_size
    )
    return backbone.eval(), content
