import pytest
from conftest import tiny_cnn

from backbone.sites import Site, build_sites, choose_sites

BLOCKS = ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("all", BLOCKS),
        ("last_stage", BLOCKS[2:]),
        ("layer1.1", ["layer1.1"]),
        (["layer2.0", "layer1.0"], ["layer1.0", "layer2.0"]),
    ],
)
def test_sites_are_chosen_by_word_or_name_and_keep_the_order_of_the_cnn(wanted, found):
    assert choose_sites(BLOCKS, wanted) == found


@pytest.mark.parametrize("wanted", ["first", ["layer1.0", "layer7.0"], []])
def test_an_unknown_choice_lists_the_known_ones(wanted):
    with pytest.raises(ValueError, match=r"layer1\.0, layer1\.1"):
        choose_sites(BLOCKS, wanted)


@pytest.mark.parametrize("group_size", [1, 2, 3, 100])
def test_groups_cover_every_channel_once(group_size):
    cnn = tiny_cnn("basic")
    sites, ledger = build_sites(
        cnn, dict(cnn.named_blocks()), ["layer1.0", "layer2.0"], history="raw", group_size=group_size
    )
    for site in sites:
        assert (site.decisions - 1) * group_size < site.channels <= site.decisions * group_size
    assert ledger.channels == tuple(site.channels for site in sites)


def test_every_layer_is_charged_in_one_step():
    cnn = tiny_cnn("bottleneck")
    _, ledger = build_sites(cnn, dict(cnn.named_blocks()), ["layer2.0"], history="raw", group_size=1)
    names = [layer.name for layer in ledger.layers]
    assert len(names) == len(set(names))
    assert {layer.step for layer in ledger.layers} == {0}


def test_a_site_is_plain_data():
    assert Site(0, "layer1.0", 4, 6, 3, 2) == Site(0, "layer1.0", 4, 6, 3, 2)
