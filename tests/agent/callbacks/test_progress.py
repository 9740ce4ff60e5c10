from agent_cases import build, learn

from agent.callbacks.progress import Progress


def test_progress_reports_rollouts():
    reported = []
    learn(build("ppo"), 3, Progress(24, report=reported.append))
    assert reported == [0, 8, 16, 24]
