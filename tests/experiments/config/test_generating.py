from pathlib import Path

from envs.clips.generated.camera import Camera
from experiments.config import MakeMotions


def test_what_is_made_where_nothing_is_said_can_be_made():
    options = MakeMotions(footage=Path("a"), out=Path("b"))
    names = ("size", "num_frames", "speed", "jitter", "noise", "still")
    camera = Camera(**{name: getattr(options, name) for name in names})
    assert (camera.size, camera.side, camera.num_frames) == (64, 96, 8)
    assert (options.train, options.val, options.test) == (8000, 500, 800)  # 400 beside their 400 reversals
