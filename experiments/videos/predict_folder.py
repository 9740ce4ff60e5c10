"""Classify the videos of a folder with a trained agent, into a csv that an interrupted call goes on with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from backbone.common.files import write_whole
from backbone.common.interruption import Interrupted
from backbone.common.naming import printable
from backbone.common.progress import Bar
from envs.clips import ClipError
from envs.clips.datasets.places import find_videos
from experiments.config import Predict
from experiments.run import Run
from experiments.videos.prediction import Trained, open_trained, play, ranking

ENCODING, ERRORS = "utf-8", "surrogateescape"  # names of files may be any bytes


def predict_folder(config: Predict) -> int:
    """Write a line for each video of a folder, as they come; a broken video's line says why, and the next one follows.

    :return: the exit code: 0 if every video has its classes now, 1 otherwise
    """
    if config.overlay is not None:
        raise ValueError(f"expected one video for --overlay, got the folder {config.video}: name one in it")
    target = config.csv or Run(config.run).predictions
    if target.is_dir():
        raise ValueError(f"expected a file to write for --csv, {target} is a folder: name a file in it")
    videos = find_videos(config.video)
    trained = open_trained(config)
    columns = columns_of(min(config.top, len(trained.classes)))
    rows = read_rows(target, columns, trained.fingerprint)
    rows = {path: row for path, row in rows.items() if not row["error"]}  # it may have been mended since
    write_rows(target, columns, rows.values())
    todo = [video for video in videos if str(video) not in rows]
    failed = 0
    try:
        with (
            open(target, "a", encoding=ENCODING, errors=ERRORS, newline="") as file,
            Bar(todo, "predicting", unit="video", disable=None) as bar,
        ):
            for video in bar:
                row = rows[str(video)] = row_of(trained, video, columns)
                failed += bool(row["error"])
                file.write(line_of(row, columns))
                file.flush()
    except KeyboardInterrupt:
        raise Interrupted from None
    if list(rows) != sorted(rows):
        write_rows(target, columns, [rows[path] for path in sorted(rows)])
    if config.json:
        done = {"csv": str(target), "videos": len(videos), "predicted": len(todo) - failed, "failed": failed}
        print(json.dumps(done, indent=2))
    else:
        kept = f", {len(videos) - len(todo)} were there already" if len(todo) < len(videos) else ""
        broken = f", {failed} cannot be used (column error)" if failed else ""
        print(printable(f"{target}: {len(videos)} videos of {config.video}{kept}{broken}"))
    return 1 if failed else 0


def columns_of(top: int) -> list[str]:
    """The header of the csv."""
    places = [f"{name}_{place}" for place in range(1, top + 1) for name in ("label", "probability")]
    return ["path", *places, "cost", "run", "error"]


def row_of(trained: Trained, video: Path, columns: Sequence[str]) -> dict[str, str]:
    """A video's line: class names and probabilities, cost as a share of dense; or why there are none."""
    row = {**dict.fromkeys(columns, ""), "path": str(video), "run": trained.fingerprint}
    try:
        prediction = play(trained, video)
    except (ClipError, OSError) as error:
        return {**row, "error": printable(str(error))}
    except Exception as error:  # whatever one video does, those behind it have their turn
        return {**row, "error": printable(f"{video}: expected a video, got {type(error).__name__}: {error}")}
    final = prediction.probabilities[-1]
    for place, label in enumerate(ranking(final, len(final)), start=1):
        if f"label_{place}" in row:
            row[f"label_{place}"], row[f"probability_{place}"] = trained.classes[label], f"{final[label]:.6f}"
    return {**row, "cost": f"{prediction.macs_ratio:.6f}"}


def read_rows(path: Path, columns: Sequence[str], fingerprint: str) -> dict[str, dict[str, str]]:
    """The whole lines of a csv, by the video's path; a last line that was cut off is left out.

    :raises ValueError: other columns, or predictions of another run
    """
    if not path.exists():
        return {}
    with open(path, encoding=ENCODING, errors=ERRORS, newline="") as file:
        text = file.read()
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    rows = [row for row in reader if None not in row and None not in row.values()]
    if reader.fieldnames not in (None, list(columns)):
        raise ValueError(
            f"expected a table of predictions with the columns {', '.join(columns)} in {path}, got "
            f"{', '.join(reader.fieldnames)}: name another file with --csv, or the same --top as before"
        )
    if any(row["run"] != fingerprint for row in rows):
        raise ValueError(f"expected predictions of this run in {path}, got another's: name another file with --csv")
    return {row["path"]: row for row in rows}


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]]) -> None:
    """Write header and lines, whole."""
    lines = [dict(zip(columns, columns)), *rows]
    text = "".join(line_of(row, columns) for row in lines)
    write_whole(path, lambda file: file.write(text.encode(ENCODING, ERRORS)))


def line_of(row: dict[str, str], columns: Sequence[str]) -> str:
    """A line of the csv; a name that holds the end of a line, of whatever system, stands in quotes."""
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, lineterminator="\r\n").writerow(row)  # quotes what holds either of the two
    return f"{text.getvalue()[:-2]}\n"
