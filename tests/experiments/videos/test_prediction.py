"""One video played by a run: held against ``evaluate`` on the same clips."""

import json
import shutil

import numpy as np
import pytest
import torch
from fusion_cases import KINDS, T, constant_decisions, random_decisions, random_frames, tiny_backbone
from prediction_cases import decoded, moving, options

from agent.evaluation import evaluate
from backbone import Decision, one_hot
from envs.clips import motions
from envs.clips.video.decode import write_video
from experiments.clips import open_clips
from experiments.commands.predict import run as predict
from experiments.loading import load_trained
from experiments.videos.prediction import open_trained, play, split_macs


def test_predictions_and_costs_are_those_of_evaluate(predicting_run, videos):
    model, backbone, config = load_trained(predicting_run, device="cpu")
    clips = open_clips(config.data, "test")
    expected = evaluate(model, backbone, clips, order=config.order)
    trained = open_trained(options(videos, predicting_run))
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
