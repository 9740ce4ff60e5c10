from report_cases import FIXED, rows_of

from experiments.pictures import draw_learning, draw_pareto


def test_pictures_are_drawn_whole(tmp_path):
    rows = rows_of(gumbel=(0.8, 0.4), mine=(0.7, 0.5))
    draw_pareto(rows, FIXED, tmp_path / "pareto.png")
    draw_learning(rows, tmp_path / "learning.png")
    assert {file.name for file in tmp_path.iterdir()} == {"pareto.png", "learning.png"}
    assert all(file.stat().st_size > 10_000 for file in tmp_path.iterdir())
