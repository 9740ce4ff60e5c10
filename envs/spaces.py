"""The spaces of an environment: how a step's observation and action are laid out as flat arrays, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from backbone import Decision, Observation, Site
from backbone.common.naming import did_you_mean

ORDERS = ("frame", "site")

Actions = TypeVar("Actions", np.ndarray, Tensor)


class Rows(NamedTuple):
    """Flat observations taken apart again, R rows that may stand at different sites; F frames a step.

    :param site: (R,) int64 index of the site
    :param v: (R, F, V) and
    :param v_previous: (R, F, V), padded with zeros to the widest site
    :param ready: (R, D) of the step's first frame, padded
    :param has_previous: (R, F)
    :param live_now: (R, F) and
    :param live_before: (R, F): live channels of the site that this one's convolution reads (0 where it reads none)
    :param by_site: which rows stand at each site, where that is known without looking at them, which would halt a GPU
    """

    site: Tensor
    v: Tensor
    v_previous: Tensor
    ready: Tensor
    has_previous: Tensor
    live_now: Tensor
    live_before: Tensor
    by_site: Mapping[int, Tensor | slice] | None = None

    def at(self, site: int) -> Tensor | slice:
        """Which rows stand at a site."""
        if self.by_site is not None:
            return self.by_site.get(site, slice(0))
        return (self.site == site).nonzero().squeeze(1)


@dataclass(frozen=True)
class StepLayout:
    """The flat spaces of the environment.

    One step shows F frames: one in frame order, all T in site order. Each frame's columns are v_t (V), v_{t-1} (V),
    which previous outputs stand ready (D), the site one-hot (S), then t / T, the share of the clip's dense MACs
    spent so far, and the live channels of the site that the convolution reads, at t and t-1. V and D are those of
    the widest site; narrower sites are padded with zeros.

    :param sites: the backbone's sites
    :param num_frames: T
    :param order: "frame": a step is one site at one frame; "site": one site for all frames of the clip
    """

    sites: tuple[Site, ...]
    num_frames: int
    order: str

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(
                f"expected order to be one of {', '.join(ORDERS)}, got {self.order!r}{did_you_mean(self.order, ORDERS)}"
            )

    @property
    def step_frames(self) -> int:
        """F, frames in one step."""
        return 1 if self.order == "frame" else self.num_frames

    @property
    def num_steps(self) -> int:
        """Steps in an episode: T*S in frame order, S in site order."""
        return len(self.sites) * self.num_frames // self.step_frames

    @property
    def v_width(self) -> int:
        return max(site.in_channels for site in self.sites)

    @property
    def decisions(self) -> int:
        """D of the widest site."""
        return max(site.decisions for site in self.sites)

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of a frame: v, v_previous, ready, site, [t / T, spent, live_now, live_before]."""
        return self.v_width, self.v_width, self.decisions, len(self.sites), 4

    @property
    def observation_space(self) -> spaces.Box:
        limits = np.finfo(np.float32)
        return spaces.Box(limits.min, limits.max, (self.step_frames * sum(self.widths),), np.float32)

    @property
    def action_space(self) -> spaces.MultiDiscrete:
        """A Decision for each of F * D columns; those beyond a site's own decisions are padding and do nothing."""
        return spaces.MultiDiscrete([len(Decision)] * self.step_frames * self.decisions)

    def pack(self, observation: Observation, frame: int, spent: Tensor) -> Tensor:
        """An observation of R rows -> flat (R, F * columns) float32.

        :param frame: index in the clip of the step's first frame
        :param spent: (R,) share of the clip's dense MACs spent so far
        """
        context = observation.cost  # of a walk that counts nothing its columns stay zero
        rows, frames = observation.v.shape[:2]
        flat = observation.v.new_zeros(rows, frames, sum(self.widths))
        v, v_previous, ready, site, scalars = flat.split(self.widths, -1)
        v[..., : observation.v.shape[-1]] = observation.v
        v_previous[..., : observation.v.shape[-1]] = observation.v_previous
        site[..., observation.site] = 1
        scalars[..., 0] = torch.arange(frame, frame + frames, device=flat.device) / self.num_frames
        scalars[..., 1] = spent.unsqueeze(-1)
        if context is not None:
            ready[:, 0, : context.ready.shape[-1]] = context.ready
        if context is not None and context.input_live is not None:
            scalars[..., 2], scalars[..., 3] = context.input_live
        return flat.flatten(1)

    def unpack(self, flat: Tensor, by_site: Mapping[int, Tensor | slice] | None = None) -> Rows:
        """Flat observations (R, F * columns) -> their parts.

        :param by_site: which rows stand at each site, where the caller knows
        """
        parts = flat.unflatten(1, (self.step_frames, -1)).split(self.widths, -1)
        v, v_previous, ready, site, scalars = parts
        has_previous = (scalars[..., 0] > 0).to(flat.dtype)
        live = scalars[..., 2], scalars[..., 3]
        return Rows(site[:, 0].argmax(-1), v, v_previous, ready[:, 0], has_previous, *live, by_site)

    def rows_by_site(self, rows: int, device: torch.device) -> dict[int, Tensor]:
        """Of whole episodes' steps in time order, which of the (steps * N) rows stand at each site."""
        steps = torch.arange(rows, device=device).unflatten(0, (-1, len(self.sites), rows // self.num_steps))
        return {site.index: steps[:, site.index].flatten() for site in self.sites}

    def by_site(self, steps: Tensor) -> list[Tensor]:
        """Columns of N whole episodes' steps in time order, (steps * N, F * D, ...), taken apart: per site (N, T, D_site, ...)."""
        sites, frames = len(self.sites), self.step_frames
        apart = steps.unflatten(0, (self.num_frames // frames, sites, -1)).unflatten(3, (frames, self.decisions))
        whole = apart.movedim(2, 0)  # (N, T / F, S, F, D, ...)
        return [whole[:, :, site.index, :, : site.decisions].flatten(1, 2) for site in self.sites]

    def by_step(self, facts: Tensor) -> Tensor:
        """Sums of what holds at each frame and site, (N, T, S), over the frames of each step: (steps, N)."""
        steps = facts.unflatten(1, (-1, self.step_frames)).sum(2)
        return steps.flatten(1).T

    def step_decisions(self, actions: Actions, site: int) -> Actions:
        """A step's actions (N, F * D) -> the decisions of its site without padding, (N, F, D_site)."""
        return actions.reshape(len(actions), self.step_frames, -1)[..., : self.sites[site].decisions]

    def action_mask(self, site: int) -> np.ndarray:
        """Which actions a site allows: bool (F * D * 3,); padding allows only USE."""
        mask = np.ones((self.step_frames, self.decisions, len(Decision)), bool)
        mask[:, self.sites[site].decisions :] = False
        mask[:, self.sites[site].decisions :, Decision.USE] = True
        return mask.ravel()

    def decision_mask(self, device: torch.device | None = None) -> Tensor:
        """Per site, which of the F * D columns are decisions and not padding: bool (S, F * D)."""
        mask = torch.zeros(len(self.sites), self.step_frames, self.decisions, dtype=torch.bool, device=device)
        for site in self.sites:
            mask[site.index, :, : site.decisions] = True
        return mask.flatten(1)

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict) -> StepLayout:
        return cls(tuple(Site(**site) for site in content["sites"]), content["num_frames"], content["order"])
