"""Take over a published checkpoint of AdaFuse as a run's folder, which ``evaluate`` then judges like any run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from agent.checkpoint import save_policy
from agent.policies.imported import load_adafuse
from backbone import FusionBackbone, save_backbone
from experiments.clips import classes_of
from experiments.config import Import, to_json
from experiments.loading import imported_policy
from experiments.machine import import_plugins
from experiments.run import Imported, Run


def import_adafuse(config: Import) -> Path:
    """Write backbone, gates and configuration of a checkpoint into a run's folder, and return it.

    :raises ValueError: no checkpoint of AdaFuse, videos of other classes, or a folder that holds a run already
    """
    import_plugins(config.plugin)
    backbone, gates, facts = load_adafuse(config.checkpoint, temporal=config.temporal, size=config.data.size)
    classes = classes_of(config.data)
    if len(classes) != facts.num_classes:
        raise ValueError(
            f"expected videos of the {facts.num_classes} classes of {config.checkpoint}, got {len(classes)} in "
            f"{config.data.root}: name the right folder with --data.root, or all classes in its classes.txt"
        )
    if config.classes is not None:
        reorder_classifier(backbone, read_classes(config.classes), classes, config.classes)
    run = Run(config.run)
    imported = Imported(
        run.backbone,
        data=config.data,
        hidden=facts.gate.hidden,
        hidden_quota=facts.gate.quota,
        gate_norm=facts.gate.norm,
        shared_gates=facts.gate.shared,
        plugin=config.plugin,
        run=config.run,
    )
    with open(config.checkpoint, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    run.begin(imported, checkpoint=sha256)
    source = {"checkpoint": config.checkpoint.name, "sha256": sha256}
    save_backbone(run.backbone, backbone, architecture=facts.architecture, classes=classes, imported=source)
    model = imported_policy(imported, backbone)
    model.policy.gates.load_state_dict(gates.state_dict())
    save_policy(run.checkpoint, model, config=to_json(imported), imported=source)
    parameters = sum(parameter.numel() for module in (backbone, gates) for parameter in module.parameters())
    print(
        f"{config.checkpoint}: {facts.architecture} of {facts.num_classes} classes with gates at {len(backbone.sites)} "
        f"sites, {parameters / 1e6:.4f}M parameters.\n"
        f"Temporal shift: {facts.temporal}, {'as told' if config.temporal else 'by the name of the file'}. "
        f"Logits are in the order of {config.classes or f'the labels of {config.data.root}'}."
    )
    return config.run


def read_classes(path: Path) -> list[str]:
    """Names in a file, one a line.

    :raises ValueError: no such file
    """
    if not path.is_file():
        raise ValueError(f"expected a file of class names at {path}, found no such file: check the path")
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


@torch.no_grad()
def reorder_classifier(backbone: FusionBackbone, found: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    """Put the logits of classes ``found`` into the order of classes ``wanted``.

    :param path: of the file that names ``found``, for messages
    :raises ValueError: other names, or a name twice
    """
    if sorted(found) != sorted(wanted) or len(set(found)) < len(found):
        other = sorted(set(found) ^ set(wanted)) or [name for name in found if found.count(name) > 1]
        raise ValueError(
            f"expected {path} to name the classes of the videos, each once, got {len(found)} names for {len(wanted)} "
            f"classes, at odds in {', '.join(map(repr, other[:3]))}: name them as the videos' folder does"
        )
    rows = [list(found).index(name) for name in wanted]
    classifier = backbone.cnn.classifier
    classifier.weight.copy_(classifier.weight[rows].clone())
    classifier.bias.copy_(classifier.bias[rows].clone())
