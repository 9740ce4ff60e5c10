from agent.callbacks import checkpoints
from backbone.common.interruption import Interrupted


def test_an_interruption_passes_where_errors_are_explained():
    assert not issubclass(Interrupted, ValueError | OSError | KeyboardInterrupt)


def test_training_raises_this_one():
    assert checkpoints.Interrupted is Interrupted
