"""A CNN of a few thousand weights, and its state dict as safetensors."""

import json
from pathlib import Path

import torch
from torch import Tensor

from backbone.cnns.resnet import BasicBlock, ResNet

State = dict[str, Tensor]


def thin_resnet(seed: int = 0) -> ResNet:
    """Torchvision's names at a fraction of its size."""
    torch.manual_seed(seed)
    return ResNet(BasicBlock, (1, 1), (4, 6), num_classes=10, size=16)


def write_safetensors(path: Path, state: State, cut: int | None = None) -> Path:
    """By the format's specification."""
    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for key, value in state.items():
        raw = (
            value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            if value.dim()
            else value[None].view(torch.uint8).numpy().tobytes()
        )
        header[key] = {
            "dtype": names[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [len(content), len(content) + len(raw)],
        }
        content += raw
    encoded = json.dumps(header).encode()
    path.write_bytes((len(encoded).to_bytes(8, "little") + encoded + content)[:cut])
    return path
