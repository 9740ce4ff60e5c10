"""TensorBoard's events of a run: worth having, and not worth a training. What cannot be written is lost, and said once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class Events(SummaryWriter):
    """The writer of a folder. From the first event that cannot be written (a full disk) it writes none, and training goes on.

    :param purge_step: TensorBoard forgets what earlier files have from here on
    """

    def __init__(self, folder: Path, *, purge_step: int | None = None) -> None:
        super().__init__(str(folder), purge_step=purge_step)
        records = self._get_file_writer().event_writer._async_writer._writer
        records._writer = _Forgiving(records._writer, folder)


class _Forgiving:
    """A file of TensorBoard's, written by a thread of its own, whose errors nobody could catch."""

    def __init__(self, file: Any, folder: Path) -> None:
        self.file, self.folder, self.lost = file, folder, False

    def write(self, content: bytes) -> None:
        self._do("write", content)

    def flush(self) -> None:
        self._do("flush")

    def close(self) -> None:
        self._do("close")

    def _do(self, name: str, *arguments: bytes) -> None:
        if self.lost:
            return
        try:
            getattr(self.file, name)(*arguments)
        except OSError as error:
            self.lost = True
            print(
                f"Warning: no events of TensorBoard from here on, {self.folder} takes none ({error.strerror or error}); training "
                "goes on, and its checkpoints and learning.json have what counts",
                file=sys.stderr,
            )
