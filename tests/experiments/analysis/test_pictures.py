import numpy as np
from PIL import Image

from experiments.analysis.pictures import plt, save_figure


def test_a_figure_becomes_a_png_and_is_closed(tmp_path):
    before = plt.get_fignums()
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1], [0, 1])
    save_figure(figure, tmp_path / "picture.png", dpi=50, tight=False)
    assert Image.open(tmp_path / "picture.png").size == (100, 50)
    assert np.asarray(Image.open(tmp_path / "picture.png")).std() > 0
    assert plt.get_fignums() == before
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
