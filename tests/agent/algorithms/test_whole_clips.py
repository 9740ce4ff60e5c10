import numpy as np
import pytest
from agent_cases import build, env_for, learn, noise_clips, tiny_env

from envs.clips import ArrayClips


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
