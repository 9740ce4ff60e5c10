"""What was decided over clips: one value, whoever decided and in whatever order of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backbone import Decision, Site, one_hot
from envs.spaces import StepLayout

UNDECIDED = -1  # stands where a decision has not been made, in an episode under way


@dataclass(frozen=True, eq=False)
class Decisions:
    """The decisions of N clips of T frames.

    :param sites: S, the backbone's
    :param by_site: per site, (N, T, D_site) int8: a Decision each, or UNDECIDED
    """

    sites: tuple[Site, ...]
    by_site: tuple[np.ndarray, ...]

    @classmethod
    def undecided(cls, sites: Sequence[Site], num_clips: int, num_frames: int) -> Decisions:
        """None made yet."""
        shapes = [(num_clips, num_frames, site.decisions) for site in sites]
        return cls(tuple(sites), tuple(np.full(shape, UNDECIDED, np.int8) for shape in shapes))

    @classmethod
    def from_actions(cls, actions: Sequence[np.ndarray] | np.ndarray, layout: StepLayout) -> Decisions:
        """From the actions of an episode's steps, (N, F * D) each, of either order; their padding is left out."""
        decisions = cls.undecided(layout.sites, len(actions[0]), layout.num_frames)
        for index, step in enumerate(actions):
            frame, site = divmod(index, len(layout.sites))
            decisions.write(site, frame * layout.step_frames, layout.step_decisions(np.asarray(step), site))
        return decisions

    @classmethod
    def concatenate(cls, parts: Sequence[Decisions]) -> Decisions:
        """Those of several batches of clips, one after the other."""
        return cls(parts[0].sites, tuple(map(np.concatenate, zip(*(part.by_site for part in parts)))))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], sites: Sequence[Site]) -> Decisions:
        """What ``to_arrays`` gave.

        :raises ValueError: arrays of other sites
        """
        for site in sites:
            if site.name not in arrays or arrays[site.name].shape[-1] != site.decisions:
                found = {name: array.shape for name, array in arrays.items()}
                raise ValueError(f"expected {site.decisions} decisions of {site.name} a frame, got arrays {found}")
        return cls(tuple(sites), tuple(arrays[site.name].astype(np.int8) for site in sites))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Per site by its name, (N, T, D_site) int8, as ``numpy.savez`` keeps them."""
        return {site.name: chosen for site, chosen in zip(self.sites, self.by_site)}

    def __len__(self) -> int:
        """N."""
        return len(self.by_site[0])

    @property
    def num_frames(self) -> int:
        """T."""
        return self.by_site[0].shape[1]

    def write(self, site: int, frame: int, chosen: np.ndarray) -> None:
        """Fill in what was decided at a site from a frame on, (N, F, D_site), in place."""
        self.by_site[site][:, frame : frame + chosen.shape[1]] = chosen

    def to_actions(self, layout: StepLayout) -> list[np.ndarray]:
        """Actions of an episode's steps, (N, F * D) int8 each; padding is USE."""
        steps = []
        for first in range(0, layout.num_frames, layout.step_frames):
            for chosen in self.by_site:
                step = np.full((len(chosen), layout.step_frames, layout.decisions), Decision.USE, np.int8)
                step[..., : chosen.shape[-1]] = chosen[:, first : first + layout.step_frames]
                steps.append(step.reshape(len(step), -1))
        return steps

    def take(self, clips: slice | Sequence[int] | np.ndarray) -> Decisions:
        """Those of some clips, in another order or more than once if asked: ``take(partners)`` swaps them."""
        return Decisions(self.sites, tuple(chosen[clips] for chosen in self.by_site))

    def one_hot(self, device: torch.device | None = None) -> list[Tensor]:
        """Per site, (N, T, D_site, 3) float32, as a walk through the backbone takes them, and as its cost is counted."""
        return [one_hot(torch.from_numpy(chosen).to(device)) for chosen in self.by_site]

    def batches(self, size: int = 64) -> Iterator[list[Tensor]]:
        """The same of ``size`` clips after the other: of all at once it may be large."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size)).one_hot()

    def shares(self) -> np.ndarray:
        """Per site, shares of use, reuse and skip over all clips and frames, (S, 3)."""
        return np.array([[(chosen == decision).mean() for decision in Decision] for chosen in self.by_site])

    def frame_shares(self) -> np.ndarray:
        """Shares of use, reuse and skip among all decisions of a frame, (N, T, 3)."""
        chosen = np.concatenate(self.by_site, -1)
        return np.stack([(chosen == decision).mean(-1) for decision in Decision], -1)

    def counts(self) -> np.ndarray:
        """How often use, reuse and skip were decided, (3,)."""
        return np.array([sum((chosen == decision).sum() for chosen in self.by_site) for decision in Decision])
