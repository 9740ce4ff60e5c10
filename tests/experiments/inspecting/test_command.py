"""``python -m experiments inspect`` on a small run: files, events, page, errors."""

import shutil

import pytest
from page_cases import Elements
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import evaluate
from experiments.__main__ import main
from experiments.clips import open_clips
from experiments.config import Train
from experiments.inspecting.command import NO_FRONT, representatives
from experiments.loading import load_trained


def inspect(*words) -> int:
    return main(["inspect", *map(str, words), "--threads", "1", "--device", "cpu"])


@pytest.fixture(scope="module")
def inspected(one_run):
    assert inspect(one_run) == 0
    return one_run / "inspect"


def test_every_episode_has_picture_animation_events_and_figure(inspected):
    stems = {path.stem for path in inspected.glob("*.png")}
    assert {"clip_0", "clip_2", "cheapest", "dearest"} <= stems
    assert {path.stem for path in inspected.glob("*.gif")} == stems
    assert Image.open(inspected / "clip_0.gif").n_frames == 8
    board = EventAccumulator(str(inspected), size_guidance={"images": 0}).Reload()
    images = {f"{kind}/{stem}" for kind in ("episodes", "animations") for stem in stems}
    assert set(board.Tags()["images"]) == images
    assert {event.step for event in board.Images("episodes/clip_0")} == {32}
    elements = Elements((inspected / "index.html").read_text())
    assert len(elements.figures()) == len(stems)


def test_the_page_says_what_evaluate_finds(inspected, one_run):
    model, backbone, config = load_trained(one_run, device="cpu")
    found = evaluate(model, backbone, open_clips(config.data, "test"), order=config.order)
    text = Elements((inspected / "index.html").read_text()).text
    assert f"{found.accuracy:.1f} [" in text
    assert f"{found.cost:.3f} [" in text
    assert NO_FRONT in text


def test_a_second_inspection_replaces_the_first(one_run, videos, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(one_run, run)
    assert inspect(run, "--cheapest", "--count", "3") == 0
    assert {path.stem for path in (run / "inspect").glob("*.png")} == {f"cheapest_{number}" for number in range(3)}
    assert inspect(run, "--paths", videos / "test" / "00001.mp4") == 0
    assert {path.stem for path in (run / "inspect").glob("*.png")} == {"video_0"}
    text = Elements((run / "inspect" / "index.html").read_text()).text
    assert "00001.mp4" in text
    assert "the video has no label" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label", "lefft"], "did you mean 'left'"),
        (["--paths", "{run}/config.json"], "config.json"),
        (["--paths", "{run}/nothing.mp4"], "found no file"),
    ],
)
def test_errors_are_a_sentence_and_write_nothing(one_run, tmp_path, capsys, words, said):
    run = tmp_path / "run"
    shutil.copytree(one_run, run, ignore=shutil.ignore_patterns("inspect"))
    assert inspect(run, *(word.format(run=run) for word in words)) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert said in error
    assert not (run / "inspect").exists()


def test_a_comparison_shows_one_run_a_method(one_run, tmp_path, capsys):
    for name in ("one", "two"):
        shutil.copytree(one_run, tmp_path / "many" / name, ignore=shutil.ignore_patterns("inspect"))
    assert inspect(tmp_path / "many", "--cheapest", "--count", "1") == 0
    page = tmp_path / "many" / "inspect" / "index.html"
    assert str(page) in capsys.readouterr().out
    text = Elements(page.read_text()).text
    assert "2 runs; episodes of one run a method: one." in text
    assert (tmp_path / "many" / "inspect" / "one" / "cheapest_0.png").exists()


def test_of_a_methods_runs_the_plainest_is_shown(tmp_path):
    def job(name, **kwargs):
        return Train(run=tmp_path / name, **kwargs)

    jobs = [
        job("a-30seconds", method="ppo"), job("b", method="ppo", cost_weight=4.0), job("c", method="ppo", seed=1),
        job("d", method="ppo"), job("e", method="ppo", group_size=8), job("f", method="gumbel", cost_weight=2.0),
    ]  # fmt: skip
    assert [job.run.name for job in representatives(jobs)] == ["d", "f"]
