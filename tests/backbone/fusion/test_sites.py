import pytest
from fusion_cases import tiny_cnn
from torch import nn

from backbone.fusion.sites import Site, build_sites, choose_sites

BLOCKS = ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
SECOND = ["layer2.0.conv2", "layer2.1.conv2"]
MODULE, PART = nn.Identity(), object()
STAGES = {
    "layer1": {"layer1.0": MODULE, "layer1.1": MODULE},
    "layer2": {"layer2.0": MODULE, "layer2.0.conv2": PART, "layer2.1": MODULE, "layer2.1.conv2": PART},
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("all", BLOCKS),
        ("last_stage", BLOCKS[2:]),
        ("layer1.1", ["layer1.1"]),
        ("layer1", BLOCKS[:2]),
        ("both", [*BLOCKS[:3], SECOND[0], BLOCKS[3], SECOND[1]]),
        ("layer2.1.conv2", SECOND[1:]),
        (["layer2.0.conv2", "layer1"], [*BLOCKS[:2], SECOND[0]]),
        (["layer2.0", "layer1.0"], ["layer1.0", "layer2.0"]),
    ],
)
def test_sites_are_chosen_by_word_or_name_and_keep_the_order_of_the_cnn(wanted, found):
    assert choose_sites(STAGES, wanted) == found


@pytest.mark.parametrize("wanted", ["first", ["layer1.0", "layer7.0"], []])
def test_an_unknown_choice_lists_the_known_ones(wanted):
    with pytest.raises(ValueError, match=r"layer1\.0, layer1\.1"):
        choose_sites(STAGES, wanted)


@pytest.mark.parametrize("group_size", [1, 2, 3, 100])
def test_groups_cover_every_channel_once(group_size):
    cnn = tiny_cnn("basic")
    sites, ledger = build_sites(cnn, ["layer1.0", "layer2.0"], history="raw", group_size=group_size)
    for site in sites:
        assert (site.decisions - 1) * group_size < site.channels <= site.decisions * group_size
    assert ledger.channels == tuple(site.channels for site in sites)


def test_every_layer_is_charged_in_one_step():
    cnn = tiny_cnn("bottleneck")
    _, ledger = build_sites(cnn, ["layer2.0"], history="raw", group_size=1)
    names = [layer.name for layer in ledger.layers]
    assert len(names) == len(set(names))
    assert {layer.step for layer in ledger.layers} == {0}


def test_a_site_is_plain_data():
    assert Site(0, "layer1.0", 4, 6, 3, 2) == Site(0, "layer1.0", 4, 6, 3, 2)
