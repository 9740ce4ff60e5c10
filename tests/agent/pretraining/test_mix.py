import pytest
import torch
from agent_cases import tiny_backbone

from agent.pretraining.mix import (
    ALWAYS_REUSE,
    FLIPPED,
    MAX_SKIP,
    NEVER_SKIP,
    WITHOUT_SHORTCUT,
    PretrainingMix,
)
from backbone import BACKBONES, Decision, FusionBackbone, Observation, create_cnn

CLIPS, FRAMES, POLICIES = 6, 2, 1500


def decisions_of(mix: PretrainingMix, site: int) -> torch.Tensor:
    """Integer decisions (CLIPS, FRAMES, D)."""
    v = torch.zeros(CLIPS, FRAMES, mix.sites[site].in_channels)
    decisions = mix(Observation(site, v, v, None))
    assert decisions.shape == (CLIPS, FRAMES, mix.sites[site].decisions, 3)
    assert (decisions.sum(-1) == 1).all()
    return decisions.argmax(-1)


@pytest.fixture(scope="module")
def policies() -> list[tuple[PretrainingMix, torch.Tensor]]:
    """Many policies, and each one's decisions at the last site."""
    torch.manual_seed(0)
    sites = tiny_backbone(group_size=1).sites
    mixes = [PretrainingMix(sites, torch.device("cpu")) for _ in range(POLICIES)]
    return [(mix, decisions_of(mix, 2)) for mix in mixes]


def skipped(decisions: torch.Tensor) -> torch.Tensor:
    return decisions == Decision.SKIP


def test_skips_come_at_the_documented_mean_rate(policies):
    found = torch.stack([skipped(decisions).double().mean() for _, decisions in policies]).mean()
    level = (1 - NEVER_SKIP) * MAX_SKIP / 2  # a little less: a rate above 1 is cut
    assert level - 0.04 < float(found) < level + 0.02


def test_some_policies_never_skip(policies):
    share = sum(mix.level == 0 for mix, _ in policies) / POLICIES
    assert share == pytest.approx(NEVER_SKIP, abs=0.04)
    assert not any(skipped(decisions).any() for mix, decisions in policies if mix.level == 0)


def test_nested_and_masked_policies_skip_the_same_channels_in_all_clips_and_scattered_ones_do_not(policies):
    for mix, decisions in policies:
        one = skipped(decisions)
        if mix.kind != "scattered":
            assert (one == one[:1, :1]).all()
    apart = [skipped(d).flatten(0, 1) for mix, d in policies if mix.kind == "scattered" and 0.3 < mix.level < 0.6]
    assert apart
    assert all((one != one[:1]).any() for one in apart)


def test_nested_skips_begin_behind_the_channels_that_reuse_and_widths_share_them(policies):
    first = round(64 / 4)
    for mix, decisions in policies:
        if mix.kind == "nested":
            order = skipped(decisions)[0, 0].roll(-first)
            assert order[: int(order.sum())].all()


def test_masked_policies_choose_any_channels(policies):
    found = torch.stack([skipped(d)[0, 0] for mix, d in policies if mix.kind == "masked" and mix.level > 0]).double()
    assert float(found.mean(0).std()) < 0.08


@pytest.mark.parametrize("shifted", [True, False])
def test_reuse_comes_where_and_as_often_as_documented(policies, shifted):
    part = slice(0, 16) if shifted else slice(16, None)
    chosen = torch.cat([decisions[..., part].flatten() for mix, decisions in policies if mix.level == 0])
    mean = ALWAYS_REUSE + (1 - ALWAYS_REUSE) / 2
    expected = mean * (1 - FLIPPED) + (1 - mean) * FLIPPED if shifted else FLIPPED
    assert float((chosen == Decision.REUSE).double().mean()) == pytest.approx(expected, abs=0.025)


def test_what_is_scattered_falls_with_the_root_of_the_number_of_sites():
    torch.manual_seed(0)
    shallow = tiny_backbone(group_size=1).sites
    rates = []
    for sites in (shallow, shallow * 4):
        mixes = [PretrainingMix(sites, torch.device("cpu")) for _ in range(1500)]
        found = [skipped(decisions_of(mix, 2)).double().mean() for mix in mixes if mix.kind == "scattered"]
        rates.append(float(torch.stack(found).mean()))
    assert rates[1] / rates[0] == pytest.approx(0.5, abs=0.06)


def test_without_strength_nothing_is_skipped():
    torch.manual_seed(0)
    sites = tiny_backbone().sites
    for _ in range(50):
        assert not skipped(decisions_of(PretrainingMix(sites, torch.device("cpu"), 0.0), 1)).any()


def test_a_site_without_a_shortcut_keeps_a_part_of_its_channels():
    torch.manual_seed(0)
    sites = FusionBackbone(create_cnn("mobilenet_v2", num_classes=2, size=32)).sites
    bare, kept = (next(site for site in sites if site.shortcut is has and site.channels > 100) for has in (False, True))
    most = {bare.index: 0.0, kept.index: 0.0}
    for _ in range(800):
        mix = PretrainingMix(sites, torch.device("cpu"))
        if mix.kind == "nested":
            for site in most:
                most[site] = max(most[site], float(skipped(decisions_of(mix, site)).double().mean()))
    assert most[bare.index] <= WITHOUT_SHORTCUT + 0.01 < most[kept.index]


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_shortcut_is_what_keeps_a_block_alive_when_its_site_is_skipped(name):
    """What a block says of itself, against what comes out of it for two inputs while y is zero."""
    torch.manual_seed(0)
    backbone = FusionBackbone(create_cnn(name, num_classes=2, size=64), sites="both").eval()
    with torch.no_grad():
        x, carry = torch.rand(2, 1, 3, 64, 64), None
        state = backbone.begin(x)
        for site in backbone.sites:
            decisions = torch.zeros(2, 1, site.decisions, 3)
            decisions[..., Decision.USE] = 1
            block = backbone._blocks[site.name]
            y = block.convolve(state.x[:, 0])
            given = (state.x[:, 0], torch.zeros_like(y))
            carry = state.carry
            out = block.finish(*given) if carry is None else block.finish(*given, carry[:, 0])
            lives = any(not torch.allclose(part[0], part[1]) for part in (out if isinstance(out, tuple) else (out,)))
            assert lives is site.shortcut, site.name
            state = backbone.advance(state, decisions)
