"""Videos in, classes out: held against ``evaluate`` on the same clips."""

import csv
import json
import shutil
from io import StringIO

import av
import numpy as np
import official_adafuse as official
import pytest
import torch
from conftest import KINDS, T, constant_decisions, random_decisions, random_frames, tiny_backbone
from rich.console import Console

from agent.callbacks import Interrupted
from agent.evaluation import evaluate
from backbone import BACKBONES, Decision, one_hot, register_backbone
from backbone.resnet import BasicBlock, ResNet
from envs.clips import ClipError, motions
from envs.clips.decode import write_video
from experiments import predict_folder, prediction
from experiments.__main__ import main
from experiments.config import Data, Import, Predict, Train
from experiments.import_adafuse import import_adafuse
from experiments.predict import facts_of, predict, show
from experiments.predict_folder import columns_of, find_videos
from experiments.prediction import open_trained, play, split_macs
from experiments.runs import open_clips
from experiments.train import load_trained, train


@pytest.fixture(scope="module", params=["gumbel", "reinforce"])
def run(request, videos, backbone_file, tmp_path_factory):
    """A run whose agent decides for whole clips, and one that decides frame by frame."""
    folder = tmp_path_factory.mktemp("predicting") / request.param
    small = {"clips": 32, "batch_size": 16, "num_clips": 4, "validation_clips": 4, "device": "cpu"}
    small["order"] = "frame" if request.param == "reinforce" else "site"
    return train(Train(backbone=backbone_file, data=Data(root=videos), run=folder, method=request.param, **small))


@pytest.fixture(scope="module")
def one_run(videos, backbone_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicting") / "run"
    small = {"clips": 32, "batch_size": 16, "validation_clips": 4, "device": "cpu"}
    return train(Train(backbone=backbone_file, data=Data(root=videos), run=folder, **small))


@pytest.fixture
def folder(videos, tmp_path):
    """Five videos, one of them in a folder of its own; what is hidden or no video is none."""
    place = tmp_path / "mine"
    (place / "more").mkdir(parents=True)
    for i in range(4):
        shutil.copy(videos / "test" / f"{i:05d}.mp4", place)
    shutil.copy(videos / "test" / "00004.mp4", place / "more" / "été, 1.MP4")
    (place / ".hidden.mp4").write_bytes(b"")
    (place / "notes.txt").write_text("no video")
    return place


def moving(frames: int) -> np.ndarray:
    """Grey levels of their own."""
    return np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None] * 2 + 30, (frames, 40, 48, 3))


def options(video, run, **kwargs) -> Predict:
    return Predict(video, run, threads=1, device="cpu", **kwargs)


def read_csv(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_predictions_and_costs_are_those_of_evaluate(run, videos):
    model, backbone, config = load_trained(run, device="cpu")
    clips = open_clips(config.data, "test")
    expected = evaluate(model, backbone, clips, order=config.order)
    trained = open_trained(options(videos, run))
    for clip in range(0, len(clips), 5):
        found = play(trained, videos / clips.names[clip])
        final = found.probabilities[-1]
        assert found.probabilities.sum(1) == pytest.approx(1)
        assert final.argmax() == expected.prediction[clip]
        assert np.log(final[clips.labels[clip]]) == pytest.approx(expected.log_prob[clip], abs=1e-4)
        assert found.macs_ratio == expected.macs_ratio[clip]
        dense = backbone.ledger.dense_macs
        assert found.frame_macs.mean() / dense == pytest.approx(found.macs_ratio, rel=1e-12)
        assert found.site_macs.sum() / dense == pytest.approx(found.macs_ratio, rel=1e-12)


@pytest.mark.parametrize("history", ["raw", "fused"])
@pytest.mark.parametrize("kind", KINDS)
def test_macs_are_split_as_a_walk_spends_them(kind, history):
    backbone = tiny_backbone(kind, history=history)
    chosen = [one_hot(of_site) for of_site in random_decisions(backbone, rows=1)]
    own = [100.0 + site.index for site in backbone.sites]
    state, spent = backbone.begin(random_frames(1)), []
    with torch.no_grad():
        for site in backbone.sites:
            before = state.macs
            state = backbone.advance(state, chosen[site.index], agent_macs=own[site.index])
            spent.append((state.macs - before)[0])
    spent = torch.stack(spent).numpy()
    by_frame, by_site = split_macs(backbone, chosen, own)
    np.testing.assert_allclose(by_frame, spent.sum(0), rtol=1e-12)
    np.testing.assert_allclose(by_site, spent.sum(1), rtol=1e-12)


def test_all_use_is_split_into_equal_frames():
    backbone = tiny_backbone()
    by_frame, _ = split_macs(
        backbone, [one_hot(d) for d in constant_decisions(backbone, Decision.USE)], [0.0, 0.0, 0.0]
    )
    assert by_frame.tolist() == [backbone.ledger.dense_macs] * T


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


@pytest.mark.parametrize("how", [{"sampling": "dense"}, {"short": "repeat"}])
def test_frames_are_sampled_as_the_run_was_configured(how, one_run, tmp_path):
    """Of a short video, and of one that is longer than a dense window."""
    root, run = tmp_path / "videos", tmp_path / "run"
    root.mkdir()
    write_video(root / "long.mp4", moving(90), 30)
    write_video(root / "short.mp4", moving(5), 30)
    for split in ("train", "val", "test"):
        (root / f"{split}.txt").write_text("long.mp4 0\nshort.mp4 1\n")
    (root / "dataset.json").write_text(json.dumps({"classes": list(motions.CLASSES)}))
    shutil.copytree(one_run, run)
    config = json.loads((run / "config.json").read_text())
    config["data"] |= {"root": str(root), **how}
    (run / "config.json").write_text(json.dumps(config))
    model, backbone, trained = load_trained(run, device="cpu")
    clips = open_clips(trained.data, "test")
    expected = evaluate(model, backbone, clips, order=trained.order)
    for clip, name in enumerate(clips.names):
        found = play(open_trained(options(root, run)), root / name)
        assert np.log(found.probabilities[-1][clips.labels[clip]]) == pytest.approx(expected.log_prob[clip], abs=1e-4)
        assert found.macs_ratio == expected.macs_ratio[clip]
    predict(options(root / "long.mp4", run, json=True))
    seconds = {"segments": 90 / 30, "dense": 64 / 30}[how.get("sampling", "segments")]
    held = round(max(seconds / 8, 0.5) * 4)
    assert len(decoded(run / "predictions" / "long.mp4")) == 8 * held


def test_a_folder_becomes_a_csv(one_run, videos, folder, tmp_path, capsys):
    target = tmp_path / "new" / "out.csv"
    predict(options(folder, one_run, csv=target))
    assert f"{target}: 5 videos of {folder}\n" == capsys.readouterr().out
    rows = read_csv(target)
    assert [row["path"] for row in rows] == [str(path) for path in find_videos(folder)]
    assert list(rows[0]) == columns_of(5)
    trained = open_trained(options(folder, one_run))
    for row in rows:
        expected = play(trained, row["path"])
        best = expected.probabilities[-1].argsort()[::-1][:5]
        assert [row[f"label_{place}"] for place in range(1, 6)] == [motions.CLASSES[label] for label in best]
        found = [float(row[f"probability_{place}"]) for place in range(1, 6)]
        assert found == pytest.approx(expected.probabilities[-1][best], abs=1e-6)
        assert float(row["cost"]) == pytest.approx(expected.macs_ratio, abs=1e-6)
        assert row["error"] == ""


def test_by_default_the_csv_is_in_the_runs_folder_and_json_says_so(one_run, folder, tmp_path, capsys):
    run = shutil.copytree(one_run, tmp_path / "run")
    assert main(["predict", str(folder), "--run", str(run), "--device", "cpu", "--json", "--top", "99"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"csv": str(run / "predictions.csv"), "videos": 5, "predicted": 5, "failed": 0}
    assert list(read_csv(run / "predictions.csv")[0]) == columns_of(len(motions.CLASSES))


def test_whatever_is_named_like_a_video_has_a_line(one_run, folder, tmp_path):
    (folder / "directory.mp4").mkdir()
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    (folder / "nowhere.mp4").symlink_to(folder / "gone")
    predict(options(folder, one_run, csv=tmp_path / "out.csv"))
    errors = {row["path"].rpartition("/")[2]: row["error"] for row in read_csv(tmp_path / "out.csv") if row["error"]}
    assert list(errors) == ["circle.mp4", "directory.mp4", "nowhere.mp4"]
    for error, expected in zip(errors.values(), ("cannot be read", "it is a directory", "there is nothing")):
        assert expected in error


def test_links_to_folders_are_followed_but_not_in_circles(folder, tmp_path):
    place = tmp_path / "links"
    place.mkdir()
    (place / "all").symlink_to(folder)
    (folder / "more" / "around").symlink_to(place)
    found = [path.relative_to(place) for path in find_videos(place)]
    assert [path.name for path in found] == ["00000.mp4", "00001.mp4", "00002.mp4", "00003.mp4", "été, 1.MP4"]
    assert {path.parts[0] for path in found} == {"all"}


def test_a_broken_video_has_a_line_and_is_tried_again(one_run, videos, folder, tmp_path, capsys):
    target = tmp_path / "out.csv"
    (folder / "00001.mp4").write_bytes(b"no video")
    write_video(folder / "00002.mp4", np.zeros((3, 32, 32, 3), np.uint8))
    predict(options(folder, one_run, csv=target))
    assert "5 videos" in (said := capsys.readouterr().out)
    assert "2 cannot be used" in said
    _, broken, short, *_ = read_csv(target)
    assert "does not decode" in broken["error"]
    assert "3 decode" in short["error"]
    assert broken["label_1"] == broken["cost"] == ""

    shutil.copy(videos / "test" / "00001.mp4", folder)
    predict(options(folder, one_run, csv=target))
    assert "5 videos" in (said := capsys.readouterr().out)
    assert "3 were there already, 1 cannot be used" in said
    rows = read_csv(target)
    assert [bool(row["error"]) for row in rows] == [False, False, True, False, False]
    assert [row["path"] for row in rows] == [str(path) for path in find_videos(folder)]


def count_plays(monkeypatch, stop_at: int | None = None) -> list:
    """Note the videos that are played; Ctrl-C at one of them."""
    played, real = [], play

    def noted(trained, path):
        if len(played) == stop_at:
            raise KeyboardInterrupt
        played.append(path)
        return real(trained, path)

    monkeypatch.setattr(predict_folder, "play", noted)
    return played


def test_ctrl_c_keeps_what_was_done_and_the_next_call_goes_on(one_run, folder, tmp_path, monkeypatch, capsys):
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict(options(folder, one_run, csv=whole))
    count_plays(monkeypatch, stop_at=3)
    words = ["predict", str(folder), "--run", str(one_run), "--csv", str(target), "--device", "cpu", "--threads", "1"]
    assert main(words) == 130
    assert "nothing is lost. To go on: the same command again" in capsys.readouterr().err
    assert read_csv(target) == read_csv(whole)[:3]
    played = count_plays(monkeypatch)
    assert main(words) == 0
    assert len(played) == 2
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_that_was_cut_off_is_made_again(cut, one_run, folder, tmp_path):
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict(options(folder, one_run, csv=whole))
    target.write_bytes(whole.read_bytes()[:-cut])
    predict(options(folder, one_run, csv=target))
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("content", [b"", b"pa"])
def test_a_csv_without_a_whole_line_is_begun_anew(content, one_run, folder, tmp_path):
    target = tmp_path / "out.csv"
    target.write_bytes(content)
    predict(options(folder, one_run, csv=target))
    assert len(read_csv(target)) == 5


def test_new_videos_are_put_in_their_place(one_run, folder, tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    predict(options(folder, one_run, csv=target))
    shutil.copy(folder / "00003.mp4", folder / "00000b.mp4")
    played = count_plays(monkeypatch)
    predict(options(folder, one_run, csv=target))
    assert [path.name for path in played] == ["00000b.mp4"]
    assert [row["path"] for row in read_csv(target)] == [str(path) for path in find_videos(folder)]


def test_tables_of_another_run_or_other_columns_are_left_alone(one_run, folder, tmp_path):
    target = tmp_path / "out.csv"
    predict(options(folder, one_run, csv=target))
    before = target.read_bytes()
    with pytest.raises(ValueError, match="the same --top as before"):
        predict(options(folder, one_run, csv=target, top=2))
    other = shutil.copytree(one_run, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "seed": 7}))
    with pytest.raises(ValueError, match="got another's: name another file"):
        predict(options(folder, other, csv=target))
    assert target.read_bytes() == before


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


@pytest.mark.parametrize(
    ("video", "run", "further", "expected"),
    [
        ("nothing.mp4", "run", {}, "found nothing: check the path"),
        ("00000.mp4", "nowhere", {}, "check the path"),
        ("empty", "run", {}, "found none that ends in"),
        ("00000.mp4", "run", {"top": 0}, "--top to be at least 1"),
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
        predict(options(tmp_path / video, one_run if run == "run" else tmp_path / run, **further))
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


def test_interrupted_is_what_a_folder_raises(one_run, folder, tmp_path, monkeypatch):
    count_plays(monkeypatch, stop_at=0)
    with pytest.raises(Interrupted):
        predict(options(folder, one_run, csv=tmp_path / "out.csv"))
