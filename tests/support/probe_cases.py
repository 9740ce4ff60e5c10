"""Made-up facts of clips, shared by the tests of probes."""

import numpy as np

from envs.clips.generated.motions import NUM_FRAMES, ClipFacts


def made_up(clips: int = 60, seed: int = 0) -> ClipFacts:
    rng = np.random.default_rng(seed)
    length = rng.integers(3, NUM_FRAMES + 1, clips)
    start = np.floor(rng.uniform(0, NUM_FRAMES - length + 1)).astype(int)
    return ClipFacts(
        rng.uniform(0.02, 0.14, clips), rng.uniform(0.4, 1, clips), start, length, rng.uniform(1.6, 2.8, clips)
    )
