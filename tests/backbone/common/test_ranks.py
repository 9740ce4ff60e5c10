import numpy as np
import pytest
import torch
from rank_cases import failing, over_ranks, parts_of_a_run, trajectories

from backbone.common import ranks

CASES = {
    "pretraining": {"method": "pretraining"},
    "gumbel": {"method": "gumbel"},
    "gumbel, BatchNorm in its gates": {"method": "gumbel", "gate_norm": "batch"},
    "gumbel, the CNN learns": {"method": "gumbel", "joint": True},
    "rebar": {"method": "rebar"},
    "reinforce": {"method": "reinforce", "follow": True},
    "reinforce, BatchNorm in its gates": {"method": "reinforce", "gate_norm": "batch"},
    "reinforce, the CNN learns": {"method": "reinforce", "joint": True},
    "moving average": {"method": "reinforce_moving_average"},
    "value": {"method": "reinforce_value"},
    "ppo": {"method": "ppo"},
    "ppo, a joint ratio": {"method": "ppo_joint"},
}


@pytest.fixture(scope="module")
def alone():
    return trajectories(CASES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "names"),
    [(2, tuple(CASES)), pytest.param(4, ("pretraining", "gumbel", "reinforce", "ppo"), marks=pytest.mark.long)],
)
def test_any_number_of_ranks_follows_the_same_trajectory(alone, count, names):
    cases = {name: CASES[name] for name in names}
    for rank, found in enumerate(over_ranks(count, trajectories, cases)):
        assert set(found) == set(names)
        for name, (weights, decided) in found.items():
            expected, decisions = alone[name]
            assert np.abs(weights - expected).max() < 1e-5, f"{name}, rank {rank} of {count}"
            assert all(map(np.array_equal, decided, decisions)), name


def test_control_other_draws_make_another_trajectory(alone):
    other = trajectories({"reinforce": {**CASES["reinforce"], "seed": 1}})
    assert np.abs(other["reinforce"][0] - alone["reinforce"][0]).max() > 1e-2


@pytest.mark.slow
def test_what_ranks_do_together(alone):
    one, two = parts_of_a_run(), over_ranks(2, parts_of_a_run)
    assert torch.equal(torch.cat([part["drawn"] for part in two]), one["drawn"])
    assert one["any"] == [False, True]
    for rank, found in enumerate(two):
        assert torch.equal(found["gradient"], torch.arange(3.0) + 0.5)
        assert found["unused"] is None
        assert found["any"] == [False, True]
        assert found["mean"] == [0.5, 1.0]
        assert found["first"] == 0
        assert found["gathered"] == [0, 1]
        for name, kept in found["statistics"].items():
            torch.testing.assert_close(kept, one["statistics"][name], rtol=1e-4, atol=1e-5, msg=f"{name} of {rank}")
    assert over_ranks(2, failing) == [["invalid literal for int() with base 10: 'no number'"]] * 2


def test_a_batch_that_cannot_be_divided_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 4)
    assert ranks.share(8, "--batch-size") == 2
    with pytest.raises(ValueError, match=r"expected a multiple of the 4 processes for --batch-size, got 6"):
        ranks.share(6, "--batch-size")


def test_alone_nothing_is_told_to_anybody():
    assert (ranks.count(), ranks.rank(), ranks.first(), ranks.writes()) == (1, 0, True, True)
    assert ranks.in_turn(lambda: 3) == 3
    assert ranks.launched() == 1
    assert not ranks.restarted()
