"""Tiny data sets on the disk, in the layouts that the true ones have."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from envs.clips.video.decode import write_video


def write(root: Path, files: dict[str, str | bytes | list | dict]) -> Path:
    """Write files by their paths: text, bytes, or what becomes JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list | dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def touch(root: Path, *names: str) -> Path:
    return write(root, dict.fromkeys(names, ""))


@cache
def jpeg(shade: int = 0, size: int = 16) -> bytes:
    """A grey JPEG."""
    file = BytesIO()
    Image.fromarray(np.full((size, size, 3), shade % 256, np.uint8)).save(file, "jpeg")
    return file.getvalue()


def frames(root: Path, folder: str, count: int, *, template: str = "{:05d}.jpg", shade: int = 0) -> Path:
    """A folder of JPEGs, numbered from 1."""
    return write(root, {f"{folder}/{template.format(i)}": jpeg(shade + i) for i in range(1, count + 1)})


def video(root: Path, name: str, count: int = 8, *, seed: int = 0) -> Path:
    """A H.264 file of noise, different for each seed."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    write_video(root / name, rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))
    return root
