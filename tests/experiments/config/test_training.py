from pathlib import Path

from experiments.config import Pretrain, Train, TrainCommand
from experiments.tuned import tuned


def test_a_run_is_written_where_it_is_told_or_where_its_name_says():
    assert Train(run=Path("x")).folder == Path("x")
    assert Train(method="ppo", cost_weight=0.5, seed=2).folder == Path("runs/ppo-w0.5-s2")


def test_what_is_left_out_is_the_methods_own_once_settled():
    assert Train(method="static").settled().learning_rate == tuned("static", 1)["learning_rate"]
    assert Train(method="static", learning_rate=0.5).settled().learning_rate == 0.5


def test_an_agent_trains_in_one_thread_and_a_cnn_in_as_many_as_there_are():
    assert (Train().threads, Pretrain().threads) == (1, 0)


def test_the_command_can_do_what_training_can_and_resume():
    assert set(TrainCommand.__dataclass_fields__) - set(Train.__dataclass_fields__) == {"resume", "trust_run"}
