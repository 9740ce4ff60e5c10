"""The loop that plays episodes: batches, order of clips, what it keeps."""

import numpy as np
import pytest
import torch
from fusion_cases import T, follow, random_decisions, tiny_backbone, to_actions

from envs.decisions import Decisions
from envs.episodes import Episodes
from envs.rollout import rollout
from envs.spaces import ORDERS

each_order = pytest.mark.parametrize("order", ORDERS)


def following(episodes: Episodes, seed: int = 0):
    """Decides as drawn for each clip and each of its rollouts, however they are batched; and what was drawn."""
    rows = len(episodes.clips) * episodes.rollouts_per_clip
    drawn = random_decisions(episodes.backbone, rows=rows, seed=seed)

    def decide(observation, clips):
        k = episodes.rollouts_per_clip
        chosen = (np.asarray(clips)[:, None] * k + np.arange(k)).ravel()
        assert len(observation) == len(chosen)
        return to_actions(episodes, [of_site[chosen] for of_site in drawn])

    return decide, Decisions(episodes.layout.sites, tuple(of_site.numpy() for of_site in drawn))


@each_order
@pytest.mark.parametrize("rollouts_per_clip", [1, 2])
def test_a_rollout_is_the_same_however_it_is_batched(clips, order, rollouts_per_clip):
    episodes = Episodes(tiny_backbone(), clips, order=order, rollouts_per_clip=rollouts_per_clip, reward="log_prob")
    decide, drawn = following(episodes)
    whole, parts = (rollout(episodes, decide, batch_size=size, detailed=True) for size in (None, 4))
    np.testing.assert_equal(whole.decisions.to_arrays(), drawn.to_arrays())
    np.testing.assert_equal(parts.decisions.to_arrays(), drawn.to_arrays())
    assert whole.outcome.clip.tolist() == np.repeat(np.arange(len(clips)), rollouts_per_clip).tolist()
    np.testing.assert_array_equal(whole.outcome.macs_ratio, parts.outcome.macs_ratio)
    for name in ("logits", "rewards", "frame_logits", "frames"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), atol=1e-5, err_msg=name)
    np.testing.assert_allclose(whole.rewards.sum(0), whole.outcome.reward, atol=1e-5)
    assert whole.rewards.shape == (episodes.layout.num_steps, len(whole.logits))


@each_order
def test_it_is_the_backbones_own_walk(clips, order):
    episodes = Episodes(tiny_backbone(), clips, order=order)
    decide, drawn = following(episodes)
    played = rollout(episodes, decide, [4, 1], detailed=True)
    taken = [torch.from_numpy(chosen[[4, 1]]) for chosen in drawn.by_site]
    with torch.no_grad():
        frames = episodes.backbone.preprocess(torch.from_numpy(clips.frames([4, 1])))
        walked = episodes.backbone(frames, follow(taken))
    np.testing.assert_allclose(played.logits, walked.logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(played.frame_logits[:, -1], played.logits, atol=1e-5)
    np.testing.assert_array_equal(played.frames, clips.frames([4, 1]))
    assert played.frame_logits.shape[:2] == (2, T)
    assert played.outcome.clip.tolist() == [4, 1]


def test_frames_and_their_scores_are_kept_only_where_asked_for(clips):
    episodes = Episodes(tiny_backbone(), clips, order="site")
    played = rollout(episodes, following(episodes)[0], [0])
    assert played.frames is None
    assert played.frame_logits is None


def test_no_clips_are_no_rollout(clips):
    episodes = Episodes(tiny_backbone(), clips)
    with pytest.raises(ValueError, match="at least one clip"):
        rollout(episodes, following(episodes)[0], [])
