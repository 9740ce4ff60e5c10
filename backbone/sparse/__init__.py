"""Execution that really skips: a backbone and its agent as a stream of frames on a CPU."""

from backbone.sparse.stream import Stream

__all__ = ["Stream"]
