"""What is shown and written of one video."""

import json
import shutil
from io import StringIO

import numpy as np
import official_adafuse as official
import pytest
from prediction_cases import decoded, options
from rich.console import Console

from agent.evaluation import evaluate
from backbone import BACKBONES, register_backbone
from backbone.cnns.resnet import BasicBlock, ResNet
from envs.clips import ClipError, motions
from envs.clips.video.decode import write_video
from experiments.__main__ import main
from experiments.clips import open_clips
from experiments.commands.predict import facts_of, show
from experiments.commands.predict import run as predict
from experiments.config import Data, Import
from experiments.import_adafuse import import_adafuse
from experiments.loading import load_trained
from experiments.videos import prediction
from experiments.videos.prediction import open_trained, play


def test_json_alone_stands_on_stdout_and_is_complete(one_run, videos, tmp_path, capsys, monkeypatch):
    def talkative(*args, **kwargs):
        print("a plugin's greeting")
        return load_trained(*args, **kwargs)

    monkeypatch.setattr(prediction, "load_trained", talkative)
    video, target = videos / "test" / "00001.mp4", tmp_path / "new" / "seen.mp4"
    words = ["predict", video, "--run", one_run, "--json", "--top", "3", "--overlay", target, "--device", "cpu"]
    assert main(list(map(str, words))) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [len(facts[name]) for name in ("top", "sites", "frames_macs_ratio")] == [3, 3, 8]
    probabilities = [row["probability"] for row in facts["top"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert facts["top"][0]["class"] == motions.CLASSES[facts["top"][0]["label"]]
    assert facts["macs"] / facts["dense_macs"] == pytest.approx(facts["macs_ratio"])
    assert sum(site["macs"] for site in facts["sites"]) == pytest.approx(facts["macs"])
    assert all(sum(site[name] for name in ("use", "reuse", "skip")) == pytest.approx(1) for site in facts["sites"])
    assert facts["overlay"] == str(target)
    assert target.exists()


def test_the_text_says_what_json_says(one_run, videos, capsys):
    video = videos / "test" / "00001.mp4"
    predict(options(video, one_run, json=True, no_overlay=True))
    facts = json.loads(capsys.readouterr().out)
    predict(options(video, one_run, no_overlay=True))
    text = capsys.readouterr().out
    assert f"cost {facts['macs_ratio']:.4f} of the dense CNN" in text
    for row in facts["top"]:
        assert f"{row['class']} " in text
        assert f"{row['probability']:.4f}" in text
    for site in facts["sites"]:
        numbers = [f"{site[name]:.2f}" for name in ("use", "reuse", "skip")]
        assert [site["name"], *numbers, f"{site['macs'] / 1e3:.3f}", f"{site['macs_ratio']:.4f}"] in [
            line.split() for line in text.splitlines()
        ]
    assert "overlay" not in text
    assert not (one_run / "predictions" / "00001.mp4").exists()


def test_names_in_brackets_are_printed_as_they_are(one_run, videos):
    trained = open_trained(options(videos, one_run))
    video = videos / "test" / "00001.mp4"
    facts = facts_of(trained, video, play(trained, video), top=1, overlay=None)
    facts["top"][0]["class"] = "Moving [something] [red]up"
    console = Console(file=StringIO(), width=80)
    show(facts, console)
    assert "Moving [something] [red]up" in console.file.getvalue()


def test_the_same_video_gives_the_same_twice(one_run, videos, capsys):
    said = []
    for _ in range(2):
        predict(options(videos / "test" / "00002.mp4", one_run, json=True))
        said.append((capsys.readouterr().out, (one_run / "predictions" / "00002.mp4").read_bytes()))
    assert said[0] == said[1]


@pytest.mark.parametrize(("frames", "fps", "held"), [(8, 8, 2), (40, 5, 4), (40, 1, 8)])
def test_an_overlay_holds_each_frame_as_long_as_it_stands_for(frames, fps, held, one_run, tmp_path):
    """Half a second at least, at 4 pictures a second, and two seconds at most."""
    video = tmp_path / "wide.mp4"
    greys = np.random.default_rng(0).integers(0, 255, frames, dtype=np.uint8)
    write_video(video, np.broadcast_to(greys[:, None, None, None], (frames, 32, 48, 3)), fps)
    predict(options(video, one_run))
    pictures = decoded(one_run / "predictions" / "wide.mp4")
    assert len(pictures) == 8 * held
    assert pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0
    changes = np.abs(np.diff(pictures.astype(int), axis=0)).mean((1, 2, 3))
    assert (np.sort(np.argsort(changes)[-7:]) + 1).tolist() == [held * (t + 1) for t in range(7)]


def test_an_imported_run_predicts_too(videos, tmp_path):
    @register_backbone
    def thin_resnet(num_classes: int, size: int = 224) -> ResNet:
        return ResNet(BasicBlock, (1, 1, 1, 1), (8, 16, 16, 24), num_classes=num_classes, size=size)

    try:
        base = official.BateNet(
            (1, 1, 1, 1), (8, 16, 16, 24), bottleneck=False, shared=True, hidden=None, quota=200, stages=range(4), shifted=True
        )  # fmt: skip
        checkpoint = official.save(
            official.liven(official.TSNGate(base, len(motions.CLASSES))), tmp_path / "tsm.pth.tar"
        )
        data = Data(root=videos, size=28, margin=4)
        run = import_adafuse(Import(checkpoint, run=tmp_path / "run", data=data))
        model, backbone, _ = load_trained(run, device="cpu")
        clips = open_clips(data, "test")
        expected = evaluate(model, backbone, clips.subset([0]))
        found = play(open_trained(options(videos, run)), videos / clips.names[0])
        assert np.log(found.probabilities[-1][clips.labels[0]]) == pytest.approx(expected.log_prob[0], abs=1e-4)
        assert found.macs_ratio == expected.macs_ratio[0]
    finally:
        BACKBONES.pop("thin_resnet")


def test_errors_of_a_single_video_say_what_is_wrong(one_run, tmp_path):
    broken, short = tmp_path / "broken.mp4", tmp_path / "short.mp4"
    broken.write_bytes(b"no video")
    write_video(short, np.zeros((3, 32, 32, 3), np.uint8))
    circle = tmp_path / "circle.mp4"
    circle.symlink_to(circle)
    reasons = {broken: "does not decode", short: "at least 8 frames, but 3 decode", circle: "cannot be read"}
    for video, expected in reasons.items():
        with pytest.raises(ClipError, match=expected):
            predict(options(video, one_run))
        assert not (one_run / "predictions" / video.name).exists()
        with pytest.raises(ClipError, match=expected):  # over a file that is there
            predict(options(video, one_run, overlay=shutil.copy(broken, tmp_path / "overlay.mp4")))


@pytest.mark.parametrize(
    ("video", "run", "further", "expected"),
    [
        ("nothing.mp4", "run", {}, "found nothing: check the path"),
        ("00000.mp4", "nowhere", {}, "check the path"),
        ("empty", "run", {}, "found none that ends in"),
        ("00000.mp4", "run", {"top": 0}, "--top from 1 to 1e6, got 0"),
        ("00000.mp4", "run", {"csv": "x.csv"}, "expected a folder of videos for --csv"),
        ("empty", "run", {"overlay": "x.mp4"}, "expected one video for --overlay"),
        ("empty", "run", {"csv": "empty"}, "is a folder: name a file in it"),
        ("00000.mp4", "run", {"overlay": "x.mp4", "no_overlay": True}, "got both"),
        ("00000.mp4", "run", {"overlay": "empty"}, "is a folder: name a file in it"),
        ("00000.mp4", "run", {"overlay": "00000.mp4"}, "another file for --overlay than the video itself"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence_before_anything_is_loaded(
    video, run, further, expected, videos, one_run, tmp_path, monkeypatch
):
    (tmp_path / "empty").mkdir()
    shutil.copy(videos / "test" / "00000.mp4", tmp_path)
    monkeypatch.setattr(prediction, "load_trained", None)
    further = {name: tmp_path / value if isinstance(value, str) else value for name, value in further.items()}
    with pytest.raises(ValueError, match=expected) as error:
        predict(
            options(
                tmp_path / video,
                one_run if run == "run" else tmp_path / run,
                **further,
            )
        )
    assert "\n" not in str(error.value)


def test_an_overlay_that_cannot_be_written_names_its_place(one_run, videos, tmp_path):
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "new" / "seen.mp4"
    with pytest.raises(ValueError, match=rf"overlay to {target}, but it cannot be written \(Not a directory\): name"):
        predict(options(videos / "test" / "00000.mp4", one_run, overlay=target))


def test_a_run_without_a_checkpoint_is_said_plainly(one_run, videos, tmp_path, capsys):
    run = shutil.copytree(one_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint.pt"))
    assert main(["predict", str(videos / "test" / "00000.mp4"), "--run", str(run), "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: expected")
    assert f"{run / 'checkpoint.pt'}, found no such file" in said
    assert said.count("\n") == 1


def test_a_stream_says_the_same_and_what_it_took(predicting_run, videos, capsys):
    video = videos / "test" / "00001.mp4"
    said = []
    for stream in (False, True):
        predict(options(video, predicting_run, json=True, no_overlay=True, stream=stream))
        said.append(json.loads(capsys.readouterr().out))
    walked, streamed = said
    assert streamed["macs_ratio"] == pytest.approx(walked["macs_ratio"], rel=1e-12)
    assert streamed["sites"] == walked["sites"]
    assert streamed["frames_macs_ratio"] == walked["frames_macs_ratio"]
    for one, other in zip(streamed["top"], walked["top"], strict=True):
        assert one["class"] == other["class"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    timing = streamed["stream"]
    assert timing["time_ratio"] == timing["ms"] / timing["dense_ms"]
    assert timing["threads"] == 1
    assert walked["stream"] is None
    predict(options(video, predicting_run, no_overlay=True, stream=True))
    assert "ms with everything used" in capsys.readouterr().out


def test_a_folder_is_no_stream(one_run, videos):
    with pytest.raises(ValueError, match="expected one video for --stream, got the folder"):
        predict(options(videos / "test", one_run, stream=True))
