"""Classify videos with a trained agent: a table and an overlay of one video, a csv of a folder."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from tqdm import tqdm

from agent.callbacks import Interrupted
from agent.evaluation import Predictor, agent_macs, site_decisions
from backbone import Decision, FusionBackbone, load_backbone, one_hot
from backbone.accounting import clip_macs
from backbone.files import write_whole
from envs.clips import ArrayClips, ClipError
from envs.clips.decode import decode_frames, write_video
from envs.clips.layouts.reading import VIDEO_SUFFIXES
from envs.episodes import Episodes
from envs.layout import Layout
from envs.overlay import PICTURE, draw_overlay
from experiments.config import Data, Predict, Train, from_json
from experiments.describe import LOOK, NARROWEST, SMALL, UNITS
from experiments.runs import import_plugins, read_config, set_up_cpu
from experiments.train import load_trained

OVERLAY_FPS = 4
HOLD = (0.5, 2.0)  # seconds, the shortest and the longest that a frame of an overlay stays
# of a csv: names of files may be any bytes
ENCODING = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


@dataclass(frozen=True)
class Trained:
    """A run, ready to classify.

    :param classes: K names, in the order of the logits
    :param own_macs: per site, MACs per frame of the agent's own gate
    :param fingerprint: of configuration, weights and agent: equal ones give equal predictions
    """

    folder: Path
    model: Predictor
    backbone: FusionBackbone
    classes: tuple[str, ...]
    data: Data
    layout: Layout
    own_macs: list[float]
    fingerprint: str


@dataclass(frozen=True)
class Prediction:
    """A clip of T frames, played greedily on centred segments as ``evaluate`` does.

    :param probabilities: (T, K) of the classes after each frame; the last row is the clip's
    :param decisions: per site, (T, D) integers
    :param macs_ratio: MACs spent, the agent's own included, as a share of the dense CNN's
    :param frame_macs: (T,) these MACs frame by frame
    :param site_macs: (S,) and site by site, mean of a frame
    """

    probabilities: np.ndarray
    decisions: list[np.ndarray]
    macs_ratio: float
    frame_macs: np.ndarray
    site_macs: np.ndarray


def predict(config: Predict) -> None:
    """Classify a video or the videos of a folder; print what was found.

    :raises ValueError: no run, no video, or options that do not fit together
    :raises Interrupted: Ctrl-C while a folder is classified; what was done is kept
    """
    if config.top < 1:
        raise ValueError(f"expected --top to be at least 1, got {config.top}")
    if not config.video.exists():
        raise ValueError(f"expected a video or a folder of videos at {config.video}, found nothing: check the path")
    read_config(config.run)  # a wrong path is told at once
    (predict_folder if config.video.is_dir() else predict_video)(config)


def open_trained(config: Predict) -> Trained:
    """:raises ValueError: no run, or no checkpoint in it"""
    set_up_cpu(config.threads)
    trained = from_json(Train, read_config(config.run))
    with redirect_stdout(sys.stderr):  # a plugin may print
        import_plugins(trained.plugin)
        classes = tuple(load_backbone(trained.backbone)[1]["classes"])
        shape = (1, trained.data.num_frames, trained.data.size, trained.data.size, 3)
        blank = ArrayClips(np.zeros(shape, np.uint8), np.zeros(1, int), classes)  # the videos of training may be gone
        model, backbone, trained = load_trained(config.run, device=config.device, clips=blank)
    layout = model.layout if hasattr(model, "layout") else model.env.get_attr("layout")[0]
    digest = hashlib.sha256()
    for path in (config.run / "config.json", config.run / "checkpoint.pt", trained.backbone):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    own_macs = agent_macs(model, layout)
    return Trained(
        config.run, model, backbone, classes, trained.data, layout, own_macs, fingerprint=digest.hexdigest()[:12]
    )


def read_frames(path: Path, *, num_frames: int, size: int) -> np.ndarray:
    """The centres of T equal segments, their shorter side scaled to ``size`` and cropped: (T, size, size, 3) uint8.

    :raises ClipError: no whole video of at least T frames
    """
    return decode_frames(path, num_frames=num_frames, size=size)


def play(trained: Trained, path: Path) -> Prediction:
    """Classify one video.

    :raises ClipError: it cannot be used
    """
    data = trained.data
    frames = read_frames(path, num_frames=data.num_frames, size=data.size + data.margin)
    clips = ArrayClips(frames[None], np.zeros(1, int), trained.classes, size=data.size)  # of a label that nobody reads
    episodes = Episodes(trained.backbone, clips, order=trained.layout.order, agent_macs=trained.own_macs)
    observation, outcome, actions = episodes.start(np.zeros(1, int)), None, []
    while outcome is None:
        actions.append(trained.model.predict(observation, deterministic=True)[0])
        observation, _, outcome = episodes.step(actions[-1])
    causal = trained.backbone.consensus.causal(torch.cat(episodes.frame_logits, 1))
    decisions = site_decisions(actions, trained.layout)
    chosen = [
        site.to_channels(one_hot(torch.as_tensor(of_site, dtype=torch.int64)))
        for site, of_site in zip(trained.layout.sites, decisions)
    ]
    frame_macs, site_macs = split_macs(trained.backbone, chosen, trained.own_macs)
    return Prediction(
        probabilities=causal[0].double().softmax(-1).cpu().numpy(),
        decisions=[of_site[0] for of_site in decisions],
        macs_ratio=float(outcome.macs_ratio[0]),
        frame_macs=frame_macs,
        site_macs=site_macs / data.num_frames,
    )


def split_macs(
    backbone: FusionBackbone, decisions: Sequence[Tensor], own_macs: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """A clip's MACs frame by frame (T,), and site by site (S,): both sum up to the clip's.

    Cost is causal, in time and through the CNN: the first frames, or sites, cost what they would without the others.

    :param decisions: per site, one-hot per channel, (1, T, C, 3)
    """
    sites, frames = range(1, len(decisions) + 1), range(1, decisions[0].shape[1] + 1)
    until_frame = [
        clip_macs(backbone.ledger, [of_site[:, :t] for of_site in decisions], agent_macs=own_macs) for t in frames
    ]
    until_site = [clip_macs(backbone.ledger, decisions[:s], agent_macs=own_macs[:s]) for s in sites]
    return tuple(np.diff(torch.cat(until).numpy(), prepend=0.0) for until in (until_frame, until_site))


def ranking(probabilities: np.ndarray, top: int) -> list[int]:
    """The ``top`` most probable of K classes; of equal ones the first."""
    return np.argsort(-probabilities, kind="stable")[:top].tolist()


# One video


def predict_video(config: Predict) -> None:
    """Print a video's classes, cost and sites as tables or as JSON alone; write its overlay."""
    if config.csv is not None:
        raise ValueError(f"expected a folder of videos for --csv, got the video {config.video}: leave it out")
    if config.overlay is not None and config.no_overlay:
        raise ValueError("expected --overlay or --no-overlay, got both: leave one out")
    target = None if config.no_overlay else config.overlay or config.run / "predictions" / f"{config.video.stem}.mp4"
    if target is not None and target.is_dir():
        raise ValueError(f"expected a file to write for --overlay, {target} is a folder: name a file in it")
    if target is not None and target.exists() and target.samefile(config.video):
        raise ValueError(f"expected another file for --overlay than the video itself, got {target}: name another")
    trained = open_trained(config)
    prediction = play(trained, config.video)
    if target is not None:
        write_overlay(target, trained, config.video, prediction)
    facts = facts_of(trained, config.video, prediction, top=config.top, overlay=target)
    if config.json:
        print(json.dumps(facts, indent=2))
    else:
        show(facts, Console(width=max(Console().width, NARROWEST)))


def facts_of(
    trained: Trained, video: Path, prediction: Prediction, *, top: int, overlay: Path | None
) -> dict[str, Any]:
    """All that is said of a prediction, as JSON: shares of 1, and MACs per frame with the agent's own included.

    A site's ``macs_ratio`` sets its step against the same step of the dense CNN.
    """
    data, ledger, sites = trained.data, trained.backbone.ledger, trained.layout.sites
    dense = [one_hot(torch.full((1, 1, site.channels), int(Decision.USE))) for site in sites]
    _, dense_macs = split_macs(trained.backbone, dense, [0.0] * len(sites))
    final = prediction.probabilities[-1]
    return {
        "video": str(video),
        "run": str(trained.folder),
        "num_frames": data.num_frames,
        "size": data.size,
        "top": [
            {"label": label, "class": trained.classes[label], "probability": float(final[label])}
            for label in ranking(final, top)
        ],
        "macs_ratio": prediction.macs_ratio,
        "macs": float(prediction.frame_macs.mean()),
        "dense_macs": ledger.dense_macs,
        "agent_macs": float(sum(trained.own_macs)),
        "frames_macs_ratio": (prediction.frame_macs / ledger.dense_macs).tolist(),
        "sites": [
            {
                "name": site.name,
                **{decision.name.lower(): float((chosen == decision).mean()) for decision in Decision},
                "macs": float(macs),
                "macs_ratio": float(macs / dense),
            }
            for site, chosen, macs, dense in zip(sites, prediction.decisions, prediction.site_macs, dense_macs)
        ],
        "overlay": None if overlay is None else str(overlay),
    }


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what ``facts_of`` found."""
    prefix = "M" if facts["dense_macs"] < SMALL else "G"
    spent, dense, own = (f"{facts[name] / UNITS[prefix]:.4f}" for name in ("macs", "dense_macs", "agent_macs"))
    parts = [
        f"{facts['video']}: {facts['num_frames']} frames of {facts['size']} x {facts['size']} pixels, "
        f"greedy decisions of {facts['run']}\n",
        _table_of_classes(facts),
        f"\ncost {facts['macs_ratio']:.4f} of the dense CNN: {spent} of {dense} {prefix}MACs a frame, "
        f"{own} of them the agent's own\n",
        _table_of_sites(facts),
    ]
    if facts["overlay"] is not None:
        parts.append(f"\noverlay: {facts['overlay']}")
    for part in parts:
        console.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))


def _table_of_classes(facts: dict[str, Any]) -> Table:
    table = Table(**LOOK)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    for place, row in enumerate(facts["top"], start=1):
        style = "bold" if place == 1 else None
        table.add_row(str(place), row["class"], f"{row['probability']:.4f}", style=style)
    return table


def _table_of_sites(facts: dict[str, Any]) -> Table:
    """Decisions and cost by site; the last row sums up."""
    prefix = "k" if facts["dense_macs"] < SMALL else "M"
    table = Table(**LOOK, show_footer=True, footer_style="bold")
    table.add_column("site", f"{len(facts['sites'])} sites", overflow="fold")
    names = [decision.name.lower() for decision in Decision]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"{prefix}MACs\na frame", f"{facts['macs'] / UNITS[prefix]:.3f}", justify="right", no_wrap=True)
    table.add_column("share\nof dense", f"{facts['macs_ratio']:.4f}", justify="right", no_wrap=True)
    for site in facts["sites"]:
        shares = (f"{site[name]:.2f}" for name in names)
        table.add_row(site["name"], *shares, f"{site['macs'] / UNITS[prefix]:.3f}", f"{site['macs_ratio']:.4f}")
    return table


def write_overlay(target: Path, trained: Trained, video: Path, prediction: Prediction) -> None:
    """Write a video of one picture a frame, each held as long as it stands for, within HOLD."""
    side, seconds = _stored(video)
    pictures = draw_overlay(
        read_frames(video, num_frames=trained.data.num_frames, size=min(side, 2 * PICTURE)),
        trained.layout.sites,
        prediction.decisions,
        prediction.probabilities,
        prediction.frame_macs / trained.backbone.ledger.dense_macs,
        trained.classes,
        video.name,
    )
    hold = float(np.clip(seconds / len(pictures), *HOLD))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_video(target, np.repeat(pictures, round(hold * OVERLAY_FPS), axis=0), OVERLAY_FPS)


def _stored(video: Path) -> tuple[int, float]:
    """Shorter side in pixels and duration in seconds (0 if unknown), as the file's header says."""
    with av.open(str(video.absolute())) as container:
        stream = container.streams.video[0]
        return min(stream.width, stream.height), (container.duration or 0) / av.time_base


# A folder


def predict_folder(config: Predict) -> None:
    """Write a line for each video of a folder, as they come; a broken video's line says why."""
    if config.overlay is not None:
        raise ValueError(f"expected one video for --overlay, got the folder {config.video}: name one in it")
    target = config.csv or config.run / "predictions.csv"
    videos = find_videos(config.video)
    trained = open_trained(config)
    columns = columns_of(min(config.top, len(trained.classes)))
    rows = read_rows(target, columns, trained.fingerprint)
    rows = {path: row for path, row in rows.items() if not row["error"]}  # it may have been mended since
    write_rows(target, columns, rows.values())
    todo = [video for video in videos if str(video) not in rows]
    failed = 0
    try:
        with open(target, "a", **ENCODING) as file, tqdm(todo, "predicting", unit="video", disable=None) as bar:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            for video in bar:
                row = rows[str(video)] = row_of(trained, video, columns)
                failed += bool(row["error"])
                writer.writerow(row)
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
        print(f"{target}: {len(videos)} videos of {config.video}{kept}{broken}")


def find_videos(folder: Path) -> list[Path]:
    """The videos in a folder and in those within, hidden ones aside.

    :raises ValueError: there is none
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        raise ValueError(
            f"expected videos in {folder}, found none that ends in {', '.join(sorted(VIDEO_SUFFIXES))}: check the path"
        )
    return found


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
        return {**row, "error": " ".join(str(error).split())}
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
    with open(path, **ENCODING) as file:
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
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, lambda file: file.write(text.getvalue().encode(ENCODING["encoding"], ENCODING["errors"])))
