import os
import signal
import time
from pathlib import Path

import numpy as np

from experiments.bench import data as bench_data


def test_both_ways_to_the_segments_give_the_same_frames(tmp_path):
    path = str(tmp_path / "clip.mp4")
    bench_data.write_texture(path, 40, height=48, width=64, g="10")
    read = bench_data.segments(path)
    assert read.shape == (8, 48, 64, 3)
    np.testing.assert_array_equal(read, bench_data.every_frame(path))


def test_what_is_not_installed_is_named_and_left_out(monkeypatch, capsys):
    monkeypatch.setattr(bench_data, "_module", lambda name: None)
    monkeypatch.setattr(bench_data, "FPS", 1)  # films of 3 and 60 frames
    monkeypatch.setattr(bench_data, "SEGMENTS", 2)
    (ratio,) = bench_data.data_ratios(3)
    assert "every frame" in ratio.name
    assert capsys.readouterr().out.splitlines() == [
        "decord: not installed, not compared",
        "OpenCV: not installed, not compared",
    ]


def test_damaged_files_neither_crash_nor_hang():
    outcome = bench_data.fuzz(40, seed=5)
    assert outcome.met
    assert outcome.decoded + outcome.refused == 40
    assert outcome.decoded > 2
    assert outcome.refused > 2


def fall_over(path: Path) -> str:
    """A reader that is bad in every way in turn."""
    number = int(path.stem)
    if number == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif number == 1:
        time.sleep(60)
    return "error KeyError()" if number == 2 else "refused"


def test_control_crashes_hangs_and_errors_are_reported():
    outcome = bench_data.fuzz(4, patience=1.0, attempt=fall_over)
    assert not outcome.met
    assert (outcome.decoded, outcome.refused) == (0, 1)
    assert [case.split(": ")[1] for case in (*outcome.crashes, *outcome.hangs, *outcome.errors)] == [
        "crash, exit code -11",
        "hang",
        "error KeyError()",
    ]


def test_the_fuzz_is_a_row_of_the_bench(capsys, monkeypatch):
    for found, failures in (
        (bench_data.Fuzz(2, 1, [], [], []), 0),
        (bench_data.Fuzz(2, 0, [], ["file 1: hang"], []), 1),
    ):
        monkeypatch.setattr(bench_data, "fuzz", lambda count, found=found: found)
        (row,) = bench_data.report_fuzz(3)
        assert (row.ratio, row.met) == (failures, not failures)
        assert ("file 1: hang" in capsys.readouterr().out) == bool(failures)
