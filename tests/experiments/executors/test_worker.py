import pytest

from backbone.common.interruption import Interrupted
from experiments.config import Train
from experiments.executors import worker


@pytest.fixture
def told(monkeypatch):
    found = []
    monkeypatch.setattr(worker, "_report", lambda *progress: found.append(progress))
    monkeypatch.setattr(worker, "_stopping", lambda: len(found) > 1)
    return found


def test_a_job_tells_and_is_told(told, tmp_path):
    def job(config):
        worker.go_on()
        worker.report("a", 1)
        worker.report("a", 2)
        return worker.stopping()

    assert worker.do(job, Train(run=tmp_path)) is True
    assert told == [("a", 1), ("a", 2)]
    with pytest.raises(Interrupted):
        worker.do(job, Train(run=tmp_path))


def test_outside_of_an_executor_nobody_asks_for_a_stop():
    assert not worker.stopping()
    worker.report("a", 1)
