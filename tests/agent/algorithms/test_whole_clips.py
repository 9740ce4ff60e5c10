import numpy as np
import pytest
import torch
from agent_cases import WHOLE_CLIPS, build, env_for, learn, noise_clips, tiny_env
from registries import as_before

from envs.clips import ArrayClips
from envs.reward import log_probability, register_outcome


class WatchedClips(ArrayClips):
    """Keeps every batch of frames that it hands out; one batch asked for twice in a row counts once."""

    def __init__(self, num_clips: int = 7) -> None:
        source = noise_clips(num_clips, stored=6)
        frames = source._pool.reshape(num_clips, 6, 8, 8, 3)
        super().__init__(frames, source.labels, source.classes, num_frames=2)
        self.batches: list[np.ndarray] = []

    def frames(self, indices, rng=None):
        batch = super().frames(indices, rng)
        if not (self.batches and np.array_equal(self.batches[-1], batch)):
            self.batches.append(batch)
        return batch


@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "ppo"])
def test_it_sees_the_clips_of_the_rollouts_in_their_order(method):
    batches = []
    for name in (method, "gumbel"):
        clips = WatchedClips()
        learn(build(name, env_for(name, clips=clips, num_clips=3), seed=5), 4)
        batches.append(clips.batches[:4])
    np.testing.assert_array_equal(*batches)
    assert not np.array_equal(batches[0][0], batches[0][1])


def test_frame_order_is_refused():
    with pytest.raises(ValueError, match="expected an environment with order='site', got 'frame'"):
        build("gumbel", tiny_env(rollouts_per_clip=1, order="frame"))


def test_several_rollouts_per_clip_are_refused():
    with pytest.raises(ValueError, match="expected rollouts_per_clip 1 for PathwiseGradient, got 4"):
        build("gumbel", tiny_env(rollouts_per_clip=4))


@pytest.mark.parametrize("method", WHOLE_CLIPS)
def test_the_outcome_is_the_environments(method):
    """Without a cost, that twice as high has twice the gradient."""
    with as_before():

        @register_outcome
        def twice(logits, labels):
            return 2 * log_probability(logits, labels)

        gradients = []
        for reward in ("log_prob", "twice"):
            model = build(method, env_for(method, reward=reward, cost_weight=0.0))
            model.prepare_sampling()
            torch.manual_seed(0)
            model.sample_loss().backward()
            gradients.append(torch.cat([part.grad.flatten() for part in model.policy.gates.parameters()]))
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], 2 * gradients[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", WHOLE_CLIPS)
def test_an_outcome_without_a_derivative_is_refused(method):
    with pytest.raises(ValueError, match="got correctness: correctness has no derivative"):
        build(method, env_for(method, reward="correctness"))
