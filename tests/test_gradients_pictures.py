import pytest

from experiments.gradients import pictures


@pytest.fixture
def drawn(monkeypatch):
    """Figures as they are saved."""
    kept = []
    monkeypatch.setattr(pictures, "_save", lambda figure, path: kept.append(figure))
    return kept


def exact(names: list[str]) -> dict:
    rows = {
        name: {
            "max_z": 2.0 + number,
            "limit": 4.3,
            "biased": number > 1,
            "variance": 1.0,
            "variance_times_seconds": 0.1,
        }
        for number, name in enumerate(names)
    }
    return {"estimates": 2, "rollouts": 4, "cases": {case: {"methods": rows} for case in pictures.CASES}}


def groups(cosine: float | None = 0.5) -> dict:
    row = {"cosine": cosine, "cosine_se": 0.1, "backward_passes": 0.0}
    group = {"equal_clips": {"reinforce": row}, "equal_compute": {"reinforce": row}}
    return {
        size: {**group, "rollouts_per_clip": {"2": {"reinforce": row}} if size == "8" else {}} for size in ("1", "8")
    }


def test_bonferronis_line_stands_in_the_picture(drawn, tmp_path):
    pictures.draw_bias(exact(["reinforce", "ppo", "gumbel"]), tmp_path)
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_xdata()[0] == 4.3
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


def test_files_are_png(tmp_path):
    pictures.draw_bias(exact(["reinforce"]), tmp_path / "bias.png")
    assert (tmp_path / "bias.png").read_bytes().startswith(b"\x89PNG")
