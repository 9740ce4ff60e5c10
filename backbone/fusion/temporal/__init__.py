"""How frames mix outside the sites, behind one registry: a new mode is a file here, imported below, or one of your own."""

from backbone.fusion.temporal import shift  # its modes register themselves
from backbone.fusion.temporal.mode import TEMPORAL_MODES, Chunk, TemporalMode, register_temporal

__all__ = ["TEMPORAL_MODES", "Chunk", "TemporalMode", "register_temporal", "shift"]
