"""What a site's decisions mean for the channels of its y, one frame after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backbone.decision import Decision
from backbone.fusion.sites import Site


class Choice(NamedTuple):
    """Channels of y, ascending int64.

    :param used: computed now
    :param late: reused, and computed only now, from what the frame before had read (raw history alone)
    :param live: passed on
    :param dead: the others
    """

    used: np.ndarray
    late: np.ndarray
    live: np.ndarray
    dead: np.ndarray


class SiteMemory:
    """Which channels of a site's y stand ready to be reused.

    :param raw: history="raw", see FusionBackbone
    """

    def __init__(self, site: Site, *, raw: bool) -> None:
        self.site, self.raw = site, raw
        self.reset()

    def reset(self) -> None:
        """A clip's start: nothing can be reused."""
        self.ready = np.zeros(self.site.channels, bool)
        self.has_previous = False

    def choose(self, decisions: np.ndarray) -> Choice:
        """Integer decisions (D,) -> what they mean at this frame.

        :raises ValueError: a number that is no Decision
        """
        site = self.site
        if decisions.min() < 0 or decisions.max() >= len(Decision):
            raise ValueError(f"expected decisions of 0 to {len(Decision) - 1}, got another number")
        if site.group_size > 1:
            decisions = np.repeat(decisions, site.group_size)[: site.channels]
        use, reuse = decisions == Decision.USE, decisions == Decision.REUSE
        if not self.has_previous:
            reuse[:] = False
        late = reuse & ~self.ready if self.raw else np.zeros_like(reuse)
        live = use | reuse if self.raw else use | (reuse & self.ready)
        self.ready, self.has_previous = use if self.raw else live, True
        return Choice(*(np.flatnonzero(part) for part in (use, late, live, ~live)))
