"""Whether a test, or a command that it ran, left something in the temporary directory."""

from __future__ import annotations

import shutil
from pathlib import Path

UNTIL_EXIT = ("pymp-",)  # multiprocessing's sockets, which it removes as the process ends


def sweep(folder: Path) -> list[str]:
    """Remove whatever lies in a folder; returns the names."""
    left = sorted(path for path in folder.iterdir() if not path.name.startswith(UNTIL_EXIT))
    for path in left:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return [path.name for path in left]


def expect_none(folder: Path) -> None:
    """Fail if something lies there, and remove it, so that one test fails for it and not all that follow."""
    left = sweep(folder)
    assert not left, (
        f"expected nothing left in the temporary directory, found {', '.join(left)}: remove what you make there "
        "(`with tempfile.TemporaryDirectory()`), take tmp_path in a test, and give a stock algorithm of "
        "stable-baselines3 a place for its logs (the fixture sb3_logs)"
    )
