import json
import shutil

import numpy as np
import pytest
from PIL import Image

from agent import SELECTIONS, evaluate
from agent.statistics import fit
from envs.clips import ClipError, motions
from experiments.clips import open_clips
from experiments.config import Data, Evaluate, Train
from experiments.evaluate import evaluate_run
from experiments.judgement import judge
from experiments.loading import backbones_for, freeze, load_trained, open_own
from experiments.run import Run
from experiments.train import train


@pytest.fixture(scope="module")
def run(videos, backbone_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged") / "run"
    small = {"rollouts": 32, "batch_size": 16, "validation_clips": 4, "device": "cpu"}
    return train(Train(backbone=backbone_file, data=Data(root=videos), run=folder, **small))


def test_text_and_json_say_the_same(run):
    text = evaluate_run(Evaluate(run, threads=1, device="cpu"))
    kept = json.loads((run / "evaluation-test.json").read_text())
    assert f"accuracy {kept['accuracy'][0]:.1f} [" in text
    assert "swap test" in text
    assert "right / left" in text
    assert "{:.0%} between clips".format(kept["adaptivity"]["all"]["between_clips"]) in text


def test_every_class_is_shown_with_what_it_was_taken_for(run):
    text = evaluate_run(Evaluate(run, split="val", selection="top_k", threads=1, device="cpu"))
    kept = json.loads((run / "evaluation-val-top_k.json").read_text())
    rows = {cells[1]: cells[2] for line in text.splitlines() if (cells := line.split()) and cells[0].isdigit()}
    assert list(rows) == list(motions.CLASSES) == list(kept["confusion"])
    assert all(rows[name] == str(sum(taken.values())) for name, taken in kept["confusion"].items())
    assert "mean of the classes" not in text  # which have equally many clips
    with Image.open(run / "confusion-val-top_k.png") as picture:
        assert picture.width > 400


def test_sources_and_unequal_classes_are_said(run, videos, tmp_path):
    grouped, copy = tmp_path / "videos", tmp_path / "run"
    shutil.copytree(videos, grouped, ignore=shutil.ignore_patterns(".cache"))
    shutil.copytree(run, copy)
    lines = (grouped / "test.txt").read_text().splitlines()[:-2]
    (grouped / "test.txt").write_text("\n".join(lines) + "\n")
    (grouped / "dataset.json").write_text(json.dumps({"classes": motions.CLASSES}))  # and nothing of reversals
    (grouped / "groups.csv").write_text("".join(f"{line.split()[0]},{n // 4}\n" for n, line in enumerate(lines)))
    config = json.loads((run / "config.json").read_text())
    config["data"]["root"] = str(grouped)
    (copy / "config.json").write_text(json.dumps(config))
    text = evaluate_run(Evaluate(copy, threads=1, device="cpu"))
    kept = json.loads((copy / "evaluation-test.json").read_text())
    assert "14 clips of test, cut from 4 sources\n" in text
    assert "(ᶜ: 95% interval over clips, those of one source together)" in text
    assert "mean of the classes' accuracies {:.1f}".format(kept["class_accuracy"][0]) in text
    (grouped / "groups.csv").unlink()
    assert "cut from" not in evaluate_run(Evaluate(copy, threads=1, device="cpu"))
    apart = json.loads((copy / "evaluation-test.json").read_text())
    assert apart["accuracy"][0] == pytest.approx(kept["accuracy"][0])
    assert apart["accuracy"] != kept["accuracy"]


def test_sampled_evaluation_is_another_file(run):
    evaluate_run(Evaluate(run, split="val", selection="sampled", threads=1, device="cpu"))
    assert (run / "evaluation-val-sampled.json").exists()


def test_the_official_accounting_is_printed_and_kept_beside_ours(run):
    text = evaluate_run(Evaluate(run, split="val", accounting="adafuse", threads=1, device="cpu"))
    kept = json.loads((run / "evaluation-val.json").read_text())
    assert "{:.3f} [{:.3f}, {:.3f}]ᶜ as AdaFuse's code counts it".format(*kept["cost_adafuse"]) in text
    assert kept["cost_adafuse"][0] != kept["cost"][0]


def test_recalibrated_batch_norms_judge_otherwise_and_leave_the_run_as_it_was(videos, backbone_file, tmp_path):
    small = {"rollouts": 32, "batch_size": 16, "validation_clips": 4, "device": "cpu", "statistics": "frozen"}
    run = train(Train(backbone=backbone_file, data=Data(root=videos), run=tmp_path / "run", **small))
    checkpoint = (run / "checkpoint.pt").read_bytes()
    plain = evaluate_run(Evaluate(run, split="val", threads=1, device="cpu"))
    text = evaluate_run(Evaluate(run, split="val", recalibrate=True, threads=1, device="cpu"))
    assert "greedy policy, BatchNorms recalibrated, on 8 clips of val" in text
    kept = [json.loads((run / f"evaluation-val{kind}.json").read_text()) for kind in ("", "-recalibrated")]
    assert "{:.3f}".format(kept[1]["cost"][0]) in text
    assert kept[0]["cost"] != kept[1]["cost"]
    assert (run / "checkpoint.pt").read_bytes() == checkpoint
    assert evaluate_run(Evaluate(run, split="val", threads=1, device="cpu")) == plain


def test_statistics_that_were_followed_need_no_recalibration(run):
    for recalibrate in (False, True):
        evaluate_run(Evaluate(run, split="val", recalibrate=recalibrate, threads=1, device="cpu"))
    kept = [json.loads((run / f"evaluation-val{kind}.json").read_text()) for kind in ("", "-recalibrated")]
    assert kept[0]["cost"] == pytest.approx(kept[1]["cost"], abs=1e-4)


def test_each_selection_is_played_on_statistics_of_its_own(run, videos):
    model, greedy, trained = load_trained(run, device="cpu")
    clips = open_clips(Data(root=videos), "val")
    source, train = open_own(Run(run).checkpoint, trained), open_clips(Data(root=videos), "train")
    found = backbones_for(model, trained, ("greedy", "sampled"))
    for selection, expected in (
        ("greedy", greedy),
        ("sampled", freeze(fit(model, source, train, selection="sampled"))),
    ):
        one, other = (evaluate(model, cnn, clips, selection=selection) for cnn in (found[selection], expected))
        np.testing.assert_array_equal(one.logits, other.logits)
    assert not np.allclose(*(evaluate(model, cnn, clips).logits for cnn in found.values()), atol=1e-4)
    fitted = evaluate(model, freeze(fit(model, source, train)), clips)  # of the same weights: what training left behind
    np.testing.assert_allclose(evaluate(model, greedy, clips).logits, fitted.logits, atol=1e-4)


def test_a_judgement_is_complete_and_its_arrays_agree_with_its_figures(run, videos, tmp_path):
    model, backbone, _ = load_trained(run, device="cpu")
    backbones = dict.fromkeys(SELECTIONS, backbone)
    judgement = judge(model, backbones, open_clips(Data(root=videos), "test"))
    Run(tmp_path).write_judgement(judgement)
    figures = judgement.to_json()
    stored = np.load(tmp_path / "clips.npz")
    assert figures["greedy"]["accuracy"][0] == pytest.approx(100 * stored["correct"].mean())
    assert figures["greedy"]["cost"][0] == pytest.approx(stored["macs_ratio"].mean())
    assert set(figures) == {"greedy", "sampled", "top_k", "swap", "pairs", "shares", "adaptivity", "classes", "confusion",
                            "clips", "sources", "skipped"}  # fmt: skip
    assert list(figures["adaptivity"]) == ["all", *figures["shares"]]
    assert json.loads((tmp_path / "evaluation.json").read_text()) == figures


def test_clips_of_other_classes_than_were_learned_are_refused(run, videos, tmp_path):
    renamed, copy = tmp_path / "videos", tmp_path / "run"
    shutil.copytree(videos, renamed, ignore=shutil.ignore_patterns(".cache"))
    shutil.copytree(run, copy)
    config = json.loads((run / "config.json").read_text())
    config["data"]["root"] = str(renamed)
    (copy / "config.json").write_text(json.dumps(config))
    for classes, message in (
        (
            [*motions.CLASSES[:-1], "z"],
            "expected the 8 classes of .*, got 8, at odds in 'up-right', 'z'; name the same",
        ),
        (motions.CLASSES[::-1], "got 8, in another order; name the same"),
    ):
        (renamed / "dataset.json").write_text("{}")
        (renamed / "classes.txt").write_text("\n".join(classes))
        with pytest.raises(ClipError, match=message):
            evaluate_run(Evaluate(copy, split="val", threads=1, device="cpu"))


def test_a_folder_without_a_run_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match="check the path"):
        evaluate_run(Evaluate(tmp_path))


def test_broken_test_videos_stop_evaluation_unless_told_to_skip(run, videos, tmp_path, monkeypatch):
    broken = tmp_path / "videos"
    shutil.copytree(videos, broken, ignore=shutil.ignore_patterns(".cache"))
    (broken / "test" / "00003.mp4").write_bytes(b"no video")
    config = json.loads((run / "config.json").read_text())
    config["data"]["root"] = str(broken)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"00003\.mp4"):
        evaluate_run(Evaluate(copy, threads=1, device="cpu"))
    assert "1 broken videos skipped" in evaluate_run(Evaluate(copy, skip_broken=True, threads=1, device="cpu"))


@pytest.mark.parametrize("views", [{}, {"clips": 2, "crops": 3}])
def test_a_broken_video_that_is_met_on_the_way_names_the_way_out(run, videos, tmp_path, views):
    broken, copy = tmp_path / "videos", tmp_path / "run"
    shutil.copytree(videos, broken, ignore=shutil.ignore_patterns(".cache"))
    (broken / "test" / "00003.mp4").write_bytes(b"no video")
    shutil.copytree(run, copy)
    config = json.loads((run / "config.json").read_text())
    config["data"] |= {"root": str(broken), "cache_gb": 0.0}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ClipError, match=r"00003\.mp4: expected .*--skip-broken$"):
        evaluate_run(Evaluate(copy, threads=1, device="cpu", **views))
    assert "1 broken" in evaluate_run(Evaluate(copy, skip_broken=True, threads=1, device="cpu", **views))


@pytest.mark.parametrize("clips", [0, -1])
def test_no_clips_of_a_video_are_refused(run, clips):
    with pytest.raises(ValueError, match=f"--clips from 1 to 1e6, got {clips}"):
        evaluate_run(Evaluate(run, clips=clips, crops=3, threads=1, device="cpu"))


def test_views_are_averaged_and_kept_in_a_file_of_their_own(run):
    text = evaluate_run(Evaluate(run, split="val", clips=2, crops=3, accounting="adafuse", threads=1, device="cpu"))
    kept = json.loads((run / "evaluation-val-6-views.json").read_text())
    assert kept["views"] == 6
    assert f"{kept['clips']} clips of val, 6 views each: the cost is that of one" in text
    assert kept["swap"] is None


def test_results_older_than_the_counts_do_not_know_them(tmp_path):
    (tmp_path / "result.json").write_text('{"clips": 8, "seconds": 2.0}')
    found = Run(tmp_path).read_result()
    assert (found["rollouts"], found["updates"], found["clipped_updates"]) == (8, None, None)


def test_a_run_is_judged_at_its_best_too(run, videos):
    text = evaluate_run(Evaluate(run, split="val", best=True, threads=1, device="cpu"))
    assert f"{run} at its best on validation clips: greedy policy on 8 clips" in text
    kept = json.loads((run / "evaluation-val-best.json").read_text())
    model, backbone, _ = load_trained(run, device="cpu", best=True)
    found = evaluate(model, backbone, open_clips(Data(root=videos), "val"))
    assert kept["cost"][0] == pytest.approx(found.cost)
    assert kept["best"] is True


def test_a_run_that_kept_no_best_checkpoint_is_refused(run, tmp_path):
    older = shutil.copytree(run, tmp_path / "older")
    (older / "checkpoint-best.pt").unlink()
    with pytest.raises(ValueError, match=r"found no checkpoint-best\.pt in .*; judge its end"):
        evaluate_run(Evaluate(older, best=True, threads=1, device="cpu"))
