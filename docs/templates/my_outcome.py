# my_outcome.py
from envs.reward import register_outcome


@register_outcome
def margin(logits, labels):
    """The true class's score above the highest other one, at most 1."""
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return (true[:, 0] - others.amax(1)).clamp(max=1)
