import pytest
from matplotlib.colors import to_rgba

from experiments.gradients import pictures


@pytest.fixture
def drawn(monkeypatch):
    """Figures as they are saved."""
    kept = []
    monkeypatch.setattr(pictures, "save_figure", lambda figure, path: kept.append(figure))
    return kept


def exact(names: list[str]) -> dict:
    rows = {
        name: {
            "max_t": 2.0 + number,
            "biased": (False, True, None)[number],
            "variance": 1.0,
            "variance_times_seconds": 0.1,
        }
        for number, name in enumerate(names)
    }
    return {"estimates": 2, "rollouts": 4, "cases": {case: {"methods": rows} for case in pictures.CASES}}


def groups(cosine: float | None = 0.5) -> dict:
    row = {"cosine": cosine, "cosine_se": 0.1, "backward_passes": 0.0}
    group = {"equal_rollouts": {"reinforce": row}, "equal_compute": {"reinforce": row}}
    return {
        size: {**group, "rollouts_per_clip": {"2": {"reinforce": row}} if size == "8" else {}} for size in ("1", "8")
    }


def test_verdicts_are_told_by_colours(drawn, tmp_path):
    pictures.draw_bias(exact(["reinforce", "ppo", "gumbel"]), tmp_path)
    (axes,) = drawn[0].axes
    colours = [tuple(colour) for colour in axes.collections[0].get_facecolors()]
    assert colours == [to_rgba(pictures.COLOURS[verdict]) for verdict in (False, True, None)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["reinforce", "ppo", "gumbel"]
    assert "N = 8" in axes.get_title()


def test_variance_is_relative_to_leave_one_out(drawn, tmp_path):
    pictures.draw_variance(exact(["reinforce", "ppo"]), tmp_path)
    assert all(bar.get_width() == pytest.approx(1) for axes in drawn[0].axes for bar in axes.patches)


@pytest.mark.filterwarnings("ignore:No artists with labels")
@pytest.mark.parametrize("cosine", [0.5, None])
def test_cosines_over_groups_and_rollouts(drawn, tmp_path, cosine):
    pictures.draw_groups(groups(cosine), tmp_path)
    pictures.draw_rollouts(groups(cosine), tmp_path)
    lines = 0 if cosine is None else 1
    assert [len(axes.containers) for axes in drawn[0].axes] == [lines, lines]
    assert "groups of 8" in drawn[1].axes[0].get_title()


def test_runs_stand_side_by_side_and_what_drowned_is_left_out(drawn, tmp_path):
    told = {"cosine": 0.5, "cosine_se": 0.1, "expectation": 0.9, "expectation_se": 0.1}
    drowned = dict.fromkeys(told)
    points = [
        {"share": share, "methods": {"gumbel": row, "rebar": told}} for share, row in ((0.0, told), (1.0, drowned))
    ]
    run = {"method": "gumbel", "cost_weight": 1.0, "group_size": 8, "points": points}
    pictures.draw_along({"one": run, "other": run}, tmp_path)
    assert len(drawn[0].axes) == 4
    lines = [container.lines[0] for container in drawn[0].axes[0].containers]
    assert [len(line.get_xdata()) for line in lines] == [1, 2]


def test_files_are_png(tmp_path):
    pictures.draw_bias(exact(["reinforce"]), tmp_path / "bias.png")
    assert (tmp_path / "bias.png").read_bytes().startswith(b"\x89PNG")
