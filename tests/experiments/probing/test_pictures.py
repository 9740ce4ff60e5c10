import numpy as np
import pytest
from PIL import Image
from probe_cases import made_up

from experiments.probing.pictures import aligned, draw_probes


@pytest.mark.parametrize("known", [True, False])
def test_a_picture_is_drawn_with_and_without_facts(tmp_path, known):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet((1, 1, 1), size=(60, 8))
    draw_probes(
        tmp_path / "p.png", title="run", shares=shares, costs=shares[..., 0], facts=made_up() if known else None
    )
    width, height = Image.open(tmp_path / "p.png").size
    assert (width > 3 * height) == known


def test_alignment_moves_every_clip_to_its_own_frame():
    anchor = np.array([0, 2, 5, 7])
    values = np.zeros((4, 8, 1))
    values[np.arange(4), anchor] = 1
    taken, usual = aligned(values, anchor, range(-8, 3))
    assert np.isnan(taken[0]).all()  # no frame lies so far ahead
    assert taken[8] == 1
    assert np.nansum(np.delete(taken, 8)) == 0
    assert usual[8] == pytest.approx(0.25)


def test_what_only_the_position_decides_has_two_equal_curves():
    values = np.broadcast_to(np.random.default_rng(0).random((8, 3)), (50, 8, 3))
    taken, usual = aligned(values, np.arange(50) % 8, range(-4, 4))
    np.testing.assert_allclose(taken, usual)
