from dataclasses import replace
from pathlib import Path

import pytest
import torch

from envs.clips import ArrayClips
from experiments.config import Pretrain
from experiments.loading import freeze, load_trained, open_frozen
from experiments.run import Fixed, Run


def test_what_is_opened_to_be_played_does_not_learn(backbone_file):
    backbone = open_frozen(backbone_file, group_size=8, device="cpu")
    assert {site.decisions for site in backbone.sites} == {site.channels // 8 for site in backbone.sites}
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.modules())


def test_folding_changes_nothing_but_rounding(backbone):
    frames = torch.rand(2, 4, 3, 32, 32)
    before = backbone.eval()(frames).logits
    torch.testing.assert_close(freeze(backbone)(frames).logits, before, rtol=1e-4, atol=1e-4)


def test_an_agent_opens_where_its_folder_lies_now_and_without_its_videos(one_run, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in (Run.manifest.name, Run.checkpoint.name):
        (moved / name).write_bytes((one_run / name).read_bytes())
    config = Run(moved).agent()
    shape = (1, config.data.num_frames, config.data.size, config.data.size, 3)
    blank = ArrayClips(torch.zeros(shape, dtype=torch.uint8).numpy(), torch.zeros(1, dtype=int).numpy(), ["a"] * 8)
    _, _, found = load_trained(moved, device="cpu", clips=blank)
    assert found == replace(config, device="cpu")
    assert found.run == moved


@pytest.mark.parametrize(
    ("config", "said"), [(Pretrain(), "a pretrained backbone"), (Fixed(Path("b.pt")), "judgements of fixed policies")]
)
def test_a_run_without_an_agent_is_said_plainly(tmp_path, config, said):
    Run(tmp_path).write_manifest(config)
    with pytest.raises(ValueError, match=f"expected the run of an agent in .*, got {said}"):
        load_trained(tmp_path)
