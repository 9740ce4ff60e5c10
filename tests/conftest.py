"""Fixtures that several test files share."""

import shutil
import tempfile

import pytest
import torch
from fusion_cases import small_clips, tiny_backbone
from litter import expect_none

from backbone import FusionBackbone
from envs.clips import ArrayClips, motions
from experiments.config import Data, Pretrain, Train
from experiments.pretrain import pretrain
from experiments.train import train

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def temporary_directory(tmp_path_factory):
    """The temporary directory of all tests, and of the commands and workers that they start: it must stay empty."""
    folder = tmp_path_factory.mktemp("temporary", numbered=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        # where an optimiser of PyTorch makes one folder a user, for a compiler that nobody asked for
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("torch", numbered=False)))
        yield folder
    expect_none(folder)


@pytest.fixture(autouse=True)
def _no_litter(request, temporary_directory):
    yield
    if request.node.get_closest_marker("browser") is None:  # whose browser stays open from test to test
        expect_none(temporary_directory)


@pytest.fixture
def sb3_logs(tmp_path, monkeypatch):
    """Where a stock algorithm makes the folder that it wants even to log nothing."""
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path / "sb3"))


@pytest.fixture(scope="session")
def clips() -> ArrayClips:
    return small_clips()


@pytest.fixture
def backbone() -> FusionBackbone:
    return tiny_backbone()


@pytest.fixture(autouse=True)
def _fixed_torch_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Root of a tiny embedded data set, real H.264 files and lists."""
    root = tmp_path_factory.mktemp("videos") / "motions"
    motions.generate(root, train=32, val=8, test=16, workers=1, progress=False)
    return root


@pytest.fixture(scope="session")
def backbone_file(videos, tmp_path_factory):
    """A backbone pretrained for a moment on those videos."""
    run = tmp_path_factory.mktemp("backbone")
    return pretrain(Pretrain(data=Data(root=videos), clips=64, batch_size=16, threads=1, device="cpu", run=run))


@pytest.fixture(scope="module", params=["gumbel", "reinforce"])
def predicting_run(request, videos, backbone_file, tmp_path_factory):
    """A run whose agent decides for whole clips, and one that decides frame by frame."""
    folder = tmp_path_factory.mktemp("predicting") / request.param
    small = {"rollouts": 32, "batch_size": 16, "num_clips": 4, "validation_clips": 4, "device": "cpu"}
    small["order"] = "frame" if request.param == "reinforce" else "site"
    return train(Train(backbone=backbone_file, data=Data(root=videos), run=folder, method=request.param, **small))


@pytest.fixture(scope="module")
def one_run(videos, backbone_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicting") / "run"
    small = {"rollouts": 32, "batch_size": 16, "validation_clips": 4, "device": "cpu"}
    return train(Train(backbone=backbone_file, data=Data(root=videos), run=folder, **small))


@pytest.fixture
def video_folder(videos, tmp_path):
    """Five videos, one of them in a folder of its own; what is hidden or no video is none."""
    place = tmp_path / "mine"
    (place / "more").mkdir(parents=True)
    for i in range(4):
        shutil.copy(videos / "test" / f"{i:05d}.mp4", place)
    shutil.copy(videos / "test" / "00004.mp4", place / "more" / "été, 1.MP4")
    (place / ".hidden.mp4").write_bytes(b"")
    (place / "notes.txt").write_text("no video")
    return place
