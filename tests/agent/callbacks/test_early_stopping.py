import pytest
from agent_cases import build, learn
from callback_cases import evaluations_in

from agent.callbacks.early_stopping import EarlyStopping


def stopped_after(tmp_path, rewards, patience: int, method: str = "gumbel") -> int:
    """Evaluations that were made, if these are the rewards that they find."""
    evaluations = evaluations_in(tmp_path, every=1)
    found = iter(rewards)
    measure = evaluations.measure

    def measured(**how) -> None:
        measure(**how)
        evaluations.curve[-1]["reward"] = next(found)

    evaluations.measure = measured
    learn(build(method), len(rewards) - 1, [evaluations, EarlyStopping(evaluations, patience)])
    return len(evaluations.curve)


@pytest.mark.parametrize("method", ["gumbel", "ppo"])
@pytest.mark.parametrize(
    ("rewards", "patience", "made"),
    [
        ([0, 1, 2, 1, 1, 1, 1], 2, 5),
        ([0, 1, 2, 1, 3, 1, 1], 2, 7),
        ([0, 1, 2, 1, 1, 1, 1], 0, 7),
        ([5, 1, 2, 3, 4, 5, 6], 3, 4),
    ],
)
def test_it_stops_after_so_many_evaluations_without_a_higher_reward(tmp_path, rewards, patience, made, method):
    assert stopped_after(tmp_path, rewards, patience, method) in (made, min(made + 1, 7))  # the last is that of the end
    if not patience:
        assert stopped_after(tmp_path / "again", rewards, patience, method) == len(rewards)
