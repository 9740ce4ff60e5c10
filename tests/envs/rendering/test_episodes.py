"""Pictures of episodes: colours where the decisions are known, encodings, sizes."""

import io
import time
from itertools import pairwise

import numpy as np
import pytest
from fusion_cases import T, tiny_backbone
from PIL import Image

from backbone import Decision, Site
from envs.decisions import Decisions
from envs.episode import EpisodeRecord
from envs.rendering.charts import RULE
from envs.rendering.episodes import (
    CELL,
    COLOURS,
    LEFT,
    MAP,
    MOMENTS,
    THINNEST,
    UNDECIDED_COLOUR,
    animate_episode,
    draw_episode,
    encode_png,
    map_heights,
)
from envs.rendering.text import INK

SITES = tiny_backbone().sites
CLASSES = ("left", "right", "up", "down")


def record_of(sites=SITES, num_frames=T, *, seed=0, size=8, steps=None, **kwargs) -> EpisodeRecord:
    """A whole episode with random decisions; with ``steps`` one under way."""
    rng = np.random.default_rng(seed)
    frames = np.stack([np.full((size, size, 3), 20 + 40 * t % 200, np.uint8) for t in range(num_frames)])
    if steps is not None:
        decisions = Decisions.undecided(sites, 1, num_frames)
        for site, first, chosen in steps:
            decisions.write(site, first, chosen[None])
        return EpisodeRecord(frames, CLASSES, decisions)
    outcome = {"label": 0, "prediction": 1, "correct": False, "log_prob": -1.6, "macs_ratio": 0.5, "reward": -2.1}
    given = {
        "name": "clip.mp4",
        "decisions": Decisions(tuple(sites), tuple(rng.integers(0, 3, (1, num_frames, s.decisions)) for s in sites)),
        "rewards": [-0.5 / len(sites)] * (len(sites) - 1) + [-1.6 - 0.5 / len(sites)],
        "outcome": outcome,
        "probabilities": rng.dirichlet(np.ones(4), num_frames),
        "frame_costs": np.full(num_frames, 0.5),
    }
    return EpisodeRecord(frames, CLASSES, **{**given, **kwargs})


def of_many(channels=300, count=33) -> list[Site]:
    return [Site(i, f"layer{i}.0.conv2", 3, channels, channels, 1) for i in range(count)]


def luma(colour) -> float:
    """Relative luminance of WCAG, of sRGB 0..255."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_colours_are_distinct_from_each_other_and_from_what_is_undecided():
    assert len({*COLOURS.values(), UNDECIDED_COLOUR, INK}) == len(Decision) + 2
    assert set(COLOURS) == set(Decision)


def test_lightness_alone_tells_the_decisions_apart():
    """As in print, and to any eye: contrasts of WCAG, where 1.0 is none."""
    shades = sorted(luma(colour) for colour in COLOURS.values())
    contrasts = [(light + 0.05) / (dark + 0.05) for dark, light in pairwise(shades)]
    assert min(contrasts) > 1.5


@pytest.mark.parametrize("kind", ["protan", "deutan", "tritan"])
def test_the_colour_blind_tell_the_decisions_apart(kind):
    """Machado, Oliveira and Fernandes 2009, severity 1; distances in CIELAB's lightness and the plane of colours."""
    matrix = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }[kind]
    seen = [np.clip(matrix @ (np.array(colour) / 255) ** 2.2, 0, 1) ** (1 / 2.2) for colour in COLOURS.values()]
    for number, one in enumerate(seen):
        for other in seen[:number]:
            assert np.linalg.norm(one - other) > 0.3


@pytest.mark.parametrize("over", [True, False])
def test_every_decision_has_its_colour_in_its_cell(over):
    whole = record_of()
    record = whole if over else record_of(steps=[(site, 0, chosen) for site, chosen in enumerate(whole.maps())])
    picture = draw_episode(record)
    heights = map_heights(SITES, MAP)
    edge = (picture[:, LEFT - 1] == RULE).all(-1)
    borders = np.flatnonzero(edge[1:-5] & ~edge[:-6] & edge[6:]) + 1  # where each site's frame begins
    for site, chosen, top, height in zip(SITES, record.maps(), borders, heights, strict=True):
        for (t, decision), value in np.ndenumerate(chosen):
            row = top + 1 + int((decision + 0.5) * height / site.decisions)
            found = tuple(picture[row, LEFT + t * CELL + CELL // 2])
            assert found == COLOURS[Decision(value)]


def test_what_is_not_decided_yet_stays_white():
    none, some = (draw_episode(record_of(steps=steps)) for steps in ([], [(0, 1, np.zeros((1, 4), int))]))
    changed = (none != some).any(-1)[:, LEFT : LEFT + T * CELL]
    columns = np.flatnonzero(changed.any(0))
    assert (columns.min(), columns.max()) == (CELL, 2 * CELL - 3)
    assert (some[:, LEFT : LEFT + T * CELL][changed] == COLOURS[Decision.USE]).all()
    assert (none[:, LEFT : LEFT + T * CELL][changed] == UNDECIDED_COLOUR).all()


def test_frames_stand_above_their_columns():
    picture = draw_episode(record_of())
    for t in range(T):
        shown = (picture == 20 + 40 * t).all(-1)
        columns = np.flatnonzero(shown.sum(0) > CELL // 2)
        assert columns.min() >= LEFT + t * CELL
        assert columns.max() < LEFT + (t + 1) * CELL


def test_neighbouring_decisions_of_very_wide_sites_are_mixed_and_none_left_out():
    wide = [Site(0, "wide", 3, 6000, 6000, 1)]
    decisions = np.zeros((T, 6000), int)
    decisions[:, ::2] = Decision.SKIP
    picture = draw_episode(record_of(wide, steps=[(0, 0, decisions)]))
    mixed = np.mean([COLOURS[Decision.USE], COLOURS[Decision.SKIP]], 0)
    close = (np.abs(picture.astype(float) - mixed) < 8).all(-1)
    assert close[:, LEFT + 10].sum() > 0.9 * MAP


@pytest.mark.parametrize("num_frames", [1, 5, 8, 16, 64])
@pytest.mark.parametrize("sites", [SITES, of_many()], ids=["few", "many"])
def test_any_number_of_frames_and_sites_fits(num_frames, sites):
    record = record_of(sites, num_frames)
    picture = draw_episode(record)
    assert picture.dtype == np.uint8
    assert picture.shape[1] <= 780
    assert picture.shape[0] < 1000
    assert min(map_heights(sites, MAP)) >= THINNEST
    assert Image.open(io.BytesIO(animate_episode(record))).n_frames == min(num_frames, MOMENTS)


def test_an_episode_whose_label_nobody_knows_is_drawn_without_it():
    bare = record_of().unlabelled()
    labelled, plain = draw_episode(record_of()), draw_episode(bare)
    assert labelled.shape == plain.shape
    assert (labelled != plain).any()
    assert animate_episode(bare)[:3] == b"GIF"


def test_names_that_are_too_long_are_shortened_and_stay_in_the_picture():
    long = record_of(name="x" * 500)
    long.classes = tuple(f"Pretending to put {name} on a surface " * 5 for name in "abcd")
    assert draw_episode(long).shape == draw_episode(record_of()).shape


def test_a_png_shows_what_was_drawn_up_to_shades():
    record = record_of()
    found = np.asarray(Image.open(io.BytesIO(encode_png(record))).convert("RGB")).astype(int)
    apart = np.abs(found - draw_episode(record)).max(-1)
    assert np.quantile(apart, 0.98) <= 3
    assert np.quantile(apart, 0.999) <= 40  # smoothed edges of letters
    exact = (draw_episode(record) == COLOURS[Decision.USE]).all(-1)
    assert exact.any()
    assert apart[exact].max() <= 3


def test_an_animation_brings_a_column_with_each_frame_and_shows_the_frame_large():
    moving = Image.open(io.BytesIO(animate_episode(record_of())))
    assert moving.info["loop"] == 0
    use = []
    for t in range(moving.n_frames):
        moving.seek(t)
        picture = np.asarray(moving.convert("RGB")).astype(int)
        use.append((np.abs(picture - COLOURS[Decision.USE]) < 8).all(-1).sum())
        grey = np.abs(picture[:, :200] - (20 + 40 * t)).max(-1) < 8
        assert grey.sum() > 150**2
    assert moving.n_frames == T
    assert all(np.diff(use) > 0)


@pytest.mark.parametrize("num_frames", [8, 16, 32])
def test_animations_of_noise_stay_small(num_frames):
    record = record_of(num_frames=num_frames)
    record.frames = np.random.default_rng(0).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)
    assert len(animate_episode(record)) < 300_000
    assert len(encode_png(record)) < 60_000


def test_drawing_is_fast():
    record = record_of()
    encode_png(record)
    started = time.process_time()
    for _ in range(10):
        encode_png(record)
    assert (time.process_time() - started) / 10 < 0.1  # 7 ms on the machine it was written on
