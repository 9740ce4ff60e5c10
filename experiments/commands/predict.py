"""Classify one video with a trained agent: tables or JSON, and an overlay video. `predict_folder` takes many."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from backbone import Decision, one_hot
from backbone.common.naming import printable
from envs.clips.sampling import DENSE_WINDOW
from envs.clips.video.decode import write_video
from envs.rendering.overlay import PICTURE, draw_overlay
from experiments.commands.describe import LOOK, NARROWEST, SMALL, UNITS
from experiments.config import Data, Predict
from experiments.run import Run
from experiments.videos.predict_folder import predict_folder
from experiments.videos.prediction import Prediction, Trained, open_trained, play, ranking, read_frames, split_macs
from experiments.videos.streaming import Timing, play_stream

OVERLAY_FPS = 4
HOLD = (0.5, 2.0)  # seconds, the shortest and the longest that a frame of an overlay stays


def run(config: Predict) -> int:
    """Classify a video or the videos of a folder; print what was found.

    :return: the exit code: 1 if some videos of a folder cannot be used, otherwise 0
    :raises ValueError: no run, no video, or options that do not fit together
    :raises Interrupted: Ctrl-C while a folder is classified; what was done is kept
    """
    if not os.path.lexists(config.video):  # of a link that leads nowhere the reader tells more
        raise ValueError(f"expected a video or a folder of videos at {config.video}, found nothing: check the path")
    Run(config.run).agent()  # a wrong path is told at once
    if config.video.is_dir():
        if config.stream:
            raise ValueError(f"expected one video for --stream, got the folder {config.video}: name one in it")
        return predict_folder(config)
    predict_video(config)
    return 0


def predict_video(config: Predict) -> None:
    """Print a video's classes, cost and sites as tables or as JSON alone; write its overlay."""
    if config.csv is not None:
        raise ValueError(f"expected a folder of videos for --csv, got the video {config.video}: leave it out")
    if config.overlay is not None and config.no_overlay:
        raise ValueError("expected --overlay or --no-overlay, got both: leave one out")
    target = None if config.no_overlay else config.overlay or Run(config.run).overlays / f"{config.video.stem}.mp4"
    if target is not None and target.is_dir():
        raise ValueError(f"expected a file to write for --overlay, {target} is a folder: name a file in it")
    if target is not None and target.exists() and config.video.exists() and target.samefile(config.video):
        raise ValueError(f"expected another file for --overlay than the video itself, got {target}: name another")
    trained = open_trained(replace(config, device="cpu") if config.stream else config)
    timing = None
    if config.stream:
        prediction, timing = play_stream(trained, config.video)
    else:
        prediction = play(trained, config.video)
    if target is not None:
        write_overlay(target, trained, config.video, prediction)
    facts = facts_of(trained, config.video, prediction, top=config.top, overlay=target, timing=timing)
    if config.json:
        print(json.dumps(facts, indent=2))
    else:
        show(facts, Console(width=max(Console().width, NARROWEST)))


def facts_of(
    trained: Trained,
    video: Path,
    prediction: Prediction,
    *,
    top: int,
    overlay: Path | None,
    timing: Timing | None = None,
) -> dict[str, Any]:
    """All that is said of a prediction, as JSON: shares of 1, and MACs per frame with the agent's own included.

    A site's ``macs_ratio`` sets its step against the same step of the dense CNN.
    """
    data, ledger, sites = trained.data, trained.backbone.ledger, trained.layout.sites
    dense = [one_hot(torch.full((1, 1, site.decisions), int(Decision.USE))) for site in sites]
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
        "agent_macs": float(sum(trained.agent_macs)),
        "frames_macs_ratio": (prediction.frame_macs / ledger.dense_macs).tolist(),
        "sites": [
            {
                "name": site.name,
                **{decision.name.lower(): float(share[decision]) for decision in Decision},
                "macs": float(macs),
                "macs_ratio": float(macs / dense),
            }
            for site, share, macs, dense in zip(
                sites, prediction.decisions.shares(), prediction.site_macs, dense_macs, strict=True
            )
        ],
        "overlay": None if overlay is None else str(overlay),
        "stream": None if timing is None else {**asdict(timing), "time_ratio": timing.ratio},
    }


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what ``facts_of`` found."""
    prefix = "M" if facts["dense_macs"] < SMALL else "G"
    spent, dense, own = (f"{facts[name] / UNITS[prefix]:.4f}" for name in ("macs", "dense_macs", "agent_macs"))
    parts = [
        printable(
            f"{facts['video']}: {facts['num_frames']} frames of {facts['size']} x {facts['size']} pixels, "
            f"greedy decisions of {facts['run']}"
        )
        + "\n",
        _table_of_classes(facts),
        f"\ncost {facts['macs_ratio']:.4f} of the dense CNN: {spent} of {dense} {prefix}MACs a frame, "
        f"{own} of them the agent's own\n",
        _table_of_sites(facts),
    ]
    if stream := facts["stream"]:
        parts.append(
            f"\nmeasured {stream['ms']:.2f} ms a frame, {stream['time_ratio']:.4f} of the {stream['dense_ms']:.2f} ms with "
            f"everything used (engine {stream['engine']}, {stream['threads']} threads)"
        )
    if facts["overlay"] is not None:
        parts.append("\n" + printable(f"overlay: {facts['overlay']}"))
    for part in parts:
        console.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))


def _table_of_classes(facts: dict[str, Any]) -> Table:
    table = Table(**LOOK)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    for place, row in enumerate(facts["top"], start=1):
        style = "bold" if place == 1 else None
        table.add_row(str(place), printable(row["class"]), f"{row['probability']:.4f}", style=style)
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
    side, seconds = _stored(video, trained.data)
    pictures = draw_overlay(
        read_frames(video, trained.data, size=min(side, 2 * PICTURE)),
        trained.layout.sites,
        [chosen[0] for chosen in prediction.decisions.by_site],
        prediction.probabilities,
        prediction.frame_macs / trained.backbone.ledger.dense_macs,
        trained.classes,
        video.name,
    )
    hold = float(np.clip(seconds / len(pictures), *HOLD))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_video(target, np.repeat(pictures, round(hold * OVERLAY_FPS), axis=0), OVERLAY_FPS)
    except OSError as error:
        raise ValueError(
            f"expected to write the overlay to {target}, but it cannot be written ({error.strerror}): "
            "name another file with --overlay, or do without by --no-overlay"
        ) from error


def _stored(video: Path, data: Data) -> tuple[int, float]:
    """Shorter side in pixels, and seconds that the sampled frames span (0 if unknown), as the file's header says."""
    with av.open(str(video.absolute())) as container:
        stream = container.streams.video[0]
        seconds = (container.duration or 0) / av.time_base
        if data.sampling == "dense" and stream.average_rate:
            seconds = min(seconds, float(DENSE_WINDOW / stream.average_rate))
        return min(stream.width, stream.height), seconds
