import numpy as np
import pytest

from agent import Linear, WarmupCosine

PROGRESS = np.linspace(1, 0, 101)  # what remains, as stable-baselines3 hands it over


def test_warmup_cosine_rises_to_its_peak_then_falls_to_zero():
    values = [WarmupCosine(0.3, warmup=0.2)(progress) for progress in PROGRESS]
    assert (np.diff(values[:21]) > 0).all()
    assert (np.diff(values[20:]) < 0).all()
    assert values[20] == pytest.approx(0.3)
    assert values[60] == pytest.approx(0.15)
    assert values[100] == pytest.approx(0, abs=1e-12)


def test_the_first_update_of_a_warmup_is_not_lost():
    assert 0 < WarmupCosine(0.3)(1.0) < 0.01


def test_without_warmup_the_cosine_starts_at_its_peak():
    assert WarmupCosine(0.3, warmup=0.0)(1.0) == pytest.approx(0.3)


@pytest.mark.parametrize("schedule", [WarmupCosine(0.3), Linear(2.0, 0.5)])
def test_past_the_end_of_training_schedules_stay_at_their_end(schedule):
    assert schedule(-0.1) == pytest.approx(schedule(0.0))  # the last batch may overshoot


def test_linear_by_hand():
    values = [Linear(2.0, 1.0, duration=0.5)(progress) for progress in (1.0, 0.75, 0.5, 0.25, 0.0)]
    np.testing.assert_allclose(values, [2.0, 1.5, 1.0, 1.0, 1.0])
