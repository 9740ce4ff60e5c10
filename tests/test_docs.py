"""What the documentation shows must run, lead somewhere, and name every method. ``make docs`` builds it; this needs no mkdocs."""

import gc
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from registries import REGISTRIES, as_before

from agent import FIXED
from backbone import FusionBackbone, create_cnn
from envs import FusionEnv
from envs.clips import motions
from envs.clips.datasets import find_clips
from envs.clips.generated.footage import read_groups
from experiments.config import Data, Train
from experiments.methods import METHODS
from experiments.train import train
from tests import test_readme as readme

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def python_blocks() -> list:
    """Every block of Python in the pages, with where it stands as its name."""
    found = []
    for page in PAGES:
        for number, text in enumerate(readme.blocks(page, "python")):
            found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


def _hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = _hooks()


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def unregistered() -> Iterator[None]:
    """What a page registers is gone afterwards."""
    with as_before():
        yield


@pytest.mark.parametrize("text", python_blocks())
def test_python_runs(text, unregistered, tmp_path, monkeypatch, backbone_file, videos):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "SB3_LOGDIR", str(tmp_path / "sb3")
    )  # where a stock algorithm makes a folder even to log nothing
    before = {noun: set(registry) for noun, registry in REGISTRIES.items()}
    exec(compile(text, "a page", "exec"), {"__name__": "page"})
    brought = {noun: registry.keys() - before[noun] for noun, registry in REGISTRIES.items()}
    for name in brought["backbone"]:
        env = FusionEnv(FusionBackbone(create_cnn(name, num_classes=8)), motions.sample(1, seed=0), order="site")
        _, info = env.reset(seed=0)
        while "clip" not in info:
            *_, info = env.step(np.zeros(env.action_space.shape, int))
        assert info["clip"]["macs_ratio"] == 1  # all use costs what the dense CNN does
    for name in brought["layout"]:
        (tmp_path / "clips.tsv").write_text("train\ta.mp4\tjump\ntrain\tb.mp4\trun\ntest\tc.mp4\trun\n")
        assert find_clips(tmp_path, "test", name).labels == (1,)
    for name in brought["fixed policy"]:
        assert FIXED[name](6, np.random.default_rng(0)).shape == (6,)
    for name in brought["method"]:
        short = {"rollouts": 8, "num_clips": 2, "rollouts_per_clip": 2, "batch_size": 4, "validation_clips": 2}
        options = {"backbone": backbone_file, "data": Data(root=videos), "run": tmp_path / "run", "device": "cpu"}
        assert (train(Train(method=name, **options, **short)) / "result.json").exists()
    gc.collect()  # environments that a block leaves open close their files here, not in another test


@pytest.mark.parametrize("page", [*PAGES, *readme.PAGES], ids=name_of)
def test_a_plugin_that_is_shown_is_the_template(page):
    for text in readme.blocks(page, "python"):
        if named := re.match(r"# (my_\w+\.py)$", text, re.MULTILINE):
            assert text == (ROOT / "docs" / "templates" / named[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_spelt_right(page):
    readme.test_commands_are_spelt_right(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page):
    list(hooks.links(page.read_text(encoding="utf-8"), name_of(page)))  # which raises at a dead one


def test_control_a_dead_link_is_found():
    with pytest.raises(ValueError, match=r"docs/index.md: .* got methods/pppo.md"):
        list(hooks.links("[PPO](methods/pppo.md#equation)", "docs/index.md"))


def test_links_inside_code_are_none():
    assert not list(
        hooks.links("`METHODS[name](config)` and\n```python\nMETHODS[name](config)\n```\n", "docs/index.md")
    )


def test_links_of_a_page_are_turned_to_the_site():
    text = "[a](../../agent/algorithms/ppo.py), [b](../../README.md#figures), [c](ppo.md), ![d](../../experiments/results/episode.png)"
    turned = "[a](../agent/algorithms/ppo.py.md), [b](../overview.md#figures), [c](ppo.md), ![d](../experiments/results/episode.png)"
    assert hooks.relinked(text, "docs/methods/index.md") == turned


def test_groups_of_the_public_footage_are_made_of_its_list(tmp_path):
    (block,) = [text for text in readme.blocks(ROOT / "docs" / "guides" / "videos.md", "bash") if "groups.csv" in text]
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "videos.txt").write_bytes(
        b"https://a?v=1 \r\nfi001: 0.13.50 - 0.15.60\r\nnofi002: 1.05.30 - 1.08.70\r\nhttps://b\r\nnofi002: 0.1 - 0.2\r\n"
        b"fi010: 0.1 - 0.2\r\n\r\nnofi062 - nofi064 : CamNet Dataset\r\nnofi064 - nofi065 : Synopsis dataset"
    )
    script = block[block.index("tr -d") : block.index("python -m")]
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    names = ["fight/fi001", "noFight/nofi002", "fight/fi010", *(f"noFight/nofi06{i}" for i in range(2, 6))]
    sources = ["https://a?v=1", "https://a?v=1", "https://b", "CamNet", "CamNet", "CamNet", "Synopsis"]
    assert read_groups(tmp_path / "footage" / "groups.csv") == dict(zip((f"{name}.mp4" for name in names), sources))


def test_every_method_has_its_page():
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "methods").glob("*.md")}
    own = [name for name, build in METHODS.items() if build.__module__.startswith("experiments.")]  # and not a test's
    for name in own:
        assert f"[`{name}`](" in pages["index"], name
        (page,) = [text for text in pages.values() if f"<!-- figures: {name} -->" in text]
        for heading in ("Equation", "Source", "What it is biased by", "What an update costs", "Figures", "Code"):
            assert f"\n## {heading}\n" in page, (name, heading)


@pytest.mark.parametrize("method", [*METHODS, "fixed"])
def test_figures_are_those_of_the_reports(method):
    table = hooks.figures(method)
    reports = "".join((ROOT / report).read_text(encoding="utf-8") for report in hooks.COMMANDS)
    cells = [cell for line in table.splitlines() if re.match(r"\| .*\d", line) for cell in line.split("|")[2:-1]]
    numbers = re.findall(r"[+-]?\d+\.\d+(?: \[[^]]+\])?", " ".join(cells))
    assert numbers
    assert all(number in reports for number in numbers)


def test_a_method_without_figures_is_refused():
    with pytest.raises(ValueError, match="expected a method that the reports name, got 'gumble'"):
        hooks.figures("gumble")


def test_reference_has_every_public_name():
    pages = hooks.reference_pages()
    assert {"backbone", "envs", "agent"} <= set(pages)
    for module, page in pages.items():
        for name in re.findall(rf"^::: {module}\.(\w+)$", page, re.MULTILINE):
            assert hasattr(import_module(module), name)
