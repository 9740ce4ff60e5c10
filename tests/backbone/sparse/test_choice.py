"""What decisions mean for channels is written twice, in Python and in C++: both say the same."""

import numpy as np
import pytest
from fusion_cases import tiny_backbone

from backbone.sparse.choice import SiteMemory
from backbone.sparse.kernel_engine import Call, Decided
from backbone.sparse.lower import lower


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("group_size", [1, 4])
def test_the_kernels_choose_the_same(raw: bool, group_size: int) -> None:
    backbone = tiny_backbone(widths=(9, 17), group_size=group_size)
    site, program, generator = backbone.sites[-1], lower(backbone), np.random.default_rng(0)
    memory = SiteMemory(site, raw=raw)
    decided = Decided(site, program.writers(site.index), raw=raw, clears=True)
    call = Call([decided.record])
    (used,), (late,) = decided.used, decided.late
    zero = np.ones(site.channels, bool)  # planes that nothing was written to since they were cleared
    for _ in range(20):
        decisions = generator.integers(3, size=site.decisions)
        choice = memory.choose(decisions)
        decided.decisions[:] = decisions
        call()
        for mine, theirs in ((choice.used, used), (choice.late, late), (choice.live, decided.live)):
            assert mine.tolist() == theirs.numbers[: theirs.count[0]].tolist()
        stale = decided.stale.numbers[: decided.stale.count[0]]
        assert stale.tolist() == [c for c in choice.dead if not zero[c]]
        zero[choice.live], zero[choice.dead] = False, True
        assert np.flatnonzero(decided.alive).tolist() == choice.live.tolist()
