import matplotlib.image
from report_cases import table_of

from experiments.comparison.pictures import draw_learning, draw_pareto


def test_pictures_are_drawn_whole(tmp_path):
    tables = [table_of(gumbel=[(0.9, 0.4), (0.8, 0.2)], mine=[(0.7, 0.5)])]
    draw_pareto(tables, tmp_path / "pareto.png")
    draw_learning(tables, tmp_path / "learning.png")
    draw_learning(tables, tmp_path / "clips.png", against="clips_drawn")
    assert {file.name for file in tmp_path.iterdir()} == {"pareto.png", "learning.png", "clips.png"}
    assert all(file.stat().st_size > 10_000 for file in tmp_path.iterdir())
    assert (tmp_path / "learning.png").read_bytes() != (tmp_path / "clips.png").read_bytes()


def test_there_is_a_panel_for_each_budget_and_group_size(tmp_path):
    methods = {"gumbel": (0.9, 0.4), "rebar": (0.8, 0.3)}
    one = [table_of(**methods)]
    four = [table_of(arm=arm, group_size=group, **methods) for arm in ("rollouts", "seconds") for group in (1, 8)]
    shapes = []
    for tables in (one, four):
        draw_pareto(tables, tmp_path / "pareto.png")
        shapes.append(matplotlib.image.imread(tmp_path / "pareto.png").shape)
    assert shapes[1][0] > 1.6 * shapes[0][0]
    assert shapes[1][1] > 1.6 * shapes[0][1]
