import multiprocessing
import os
from pathlib import Path

import pytest
from checking_cases import clean_data

from experiments.checking import workers
from experiments.checking.clip import Clip, inspect


class Deadly(type(Path())):
    """A path that kills whoever looks at it."""

    def stat(self, **kwargs):
        os._exit(1)


@pytest.mark.slow
def test_processes_look_at_clips_and_survive_the_death_of_one(tmp_path):
    clean_data(tmp_path)
    clips = {str(i): Clip(tmp_path / f"v/{i}.mp4", None, None) for i in range(6)}
    clips["bad"] = Clip(Deadly(tmp_path / "v/0.mp4"), None, None)
    findings = dict(workers.inspect_apart(clips, 8, 1, 4))
    assert findings.pop("bad").reason.count("the process that decoded it died") == 1
    assert findings == {str(i): inspect(clips[str(i)], 8) for i in range(6)}
    assert len({finding.digest for finding in findings.values()}) == 6
    del clips["bad"]
    some = workers.inspect_apart(clips, 8, 2, 4)
    next(some)
    some.close()
    assert not multiprocessing.active_children()
