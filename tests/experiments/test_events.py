"""TensorBoard's events: written while they can be, and lost without a word more than one once they cannot."""

import errno

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.events import Events


def points(folder) -> list[int]:
    return [point.step for point in EventAccumulator(str(folder)).Reload().Scalars("a")]


def test_what_is_written_is_read(tmp_path):
    with Events(tmp_path) as writer:
        for step in range(5):
            writer.add_scalar("a", 1.0, step)
    assert points(tmp_path) == [0, 1, 2, 3, 4]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_ends_the_events_in_a_sentence_and_nothing_else(tmp_path, capsys):
    with Events(tmp_path) as writer:
        writer.add_scalar("a", 1.0, 0)
        writer.flush()
        file = writer._get_file_writer().event_writer._async_writer._writer._writer

        def refuse(*content):
            raise OSError(errno.ENOSPC, "No space left on device")

        file.file = type("Full", (), {"write": refuse, "flush": refuse, "close": refuse})()
        for step in range(1, 40):  # more than the queue holds
            writer.add_scalar("a", 1.0, step)
        writer.flush()
    said = capsys.readouterr().err
    assert said.startswith(
        f"Warning: no events of TensorBoard from here on, {tmp_path} takes none (No space left on device)"
    )
    assert said.count("\n") == 1
    assert points(tmp_path) == [0]
