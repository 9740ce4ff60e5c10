"""Names of before 0.2.0, for this release: what was here is in ``run``, ``clips`` and ``machine`` now."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from backbone.common.deprecation import moved_names
from experiments.run import Run

__getattr__ = moved_names(
    __name__,
    {
        **{name: f"experiments.clips.{name}" for name in ("open_clips", "open_views")},
        **{
            name: f"experiments.machine.{name}"
            for name in ("PACKAGES", "import_plugins", "provenance", "resolve_device", "set_up_cpu")
        },
    },
)


def open_run(folder: Path, config: Any, *, resume: bool, **hashes: Any) -> None:
    """``Run(folder).begin(config, resume=resume, **hashes)``."""
    _say("open_run", "begin")
    Run(folder).begin(config, resume=resume, **hashes)


def check_same(folder: Path, wanted: Any) -> None:
    """``Run(folder).check_same(wanted)``."""
    _say("check_same", "check_same")
    Run(folder).check_same(wanted)


def read_config(folder: Path) -> dict[str, Any]:
    """``Run(folder).options()``."""
    _say("read_config", "options")
    return Run(folder).options()


def _say(name: str, method: str) -> None:
    warnings.warn(f"{__name__}.{name} is experiments.run.Run.{method} now", DeprecationWarning, stacklevel=3)
