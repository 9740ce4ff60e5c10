"""Names of before 0.2.0, for this release: what was here is in ``spaces`` now."""

from backbone.common.deprecation import moved_names

__getattr__ = moved_names(
    __name__,
    {"Layout": "envs.spaces.StepLayout", "Rows": "envs.spaces.Rows", "ORDERS": "envs.spaces.ORDERS"},
)
