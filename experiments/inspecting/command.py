"""Write episodes of finished runs as pictures, animations, TensorBoard events, and one page with their results."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from agent.callbacks.episode_log import record_episodes, write_episode, write_probabilities
from agent.evaluation import Evaluation, evaluate
from backbone.common.files import write_bytes
from envs.clips import ClipSource
from envs.episode import EpisodeRecord
from envs.rendering.episodes import animate_episode, encode_png
from experiments.clips import open_clips
from experiments.comparison.grids import Grid
from experiments.comparison.results import row_method
from experiments.config import Inspect, Predict, Train
from experiments.inspecting.page import Shown, write_page
from experiments.inspecting.results import (
    curves_table,
    find_runs,
    front_picture,
    grids_of,
    judged_tables,
    learning_picture,
)
from experiments.inspecting.selection import Choice, asks_for_clips, choose, own_videos
from experiments.judgement import figures_of
from experiments.run import Imported, Run
from experiments.videos.prediction import Trained, open_trained

HOW_CHOSEN = (
    "Fixed clips are the first of classes spread evenly over all; failures those wrong clips whose label is the least "
    "probable; cheapest and dearest go by MACs. All are played greedily."
)
NO_FRONT = (
    "Left out: accuracy and cost are set against other policies where a comparison has judged the run; see "
    "python -m experiments compare."
)
NO_LEARNING = "Left out: the run has no evaluations of its training."


@dataclass
class Played:
    """A run and the episodes that were asked for.

    :param result: on the whole split; None where only a user's own videos were played
    :param choices: why each of the records was played
    """

    job: Train | Imported
    clips: ClipSource | None
    result: Evaluation | None
    choices: list[Choice]
    records: list[EpisodeRecord]


def inspect(config: Inspect) -> None:
    """Write an inspection into each run's or comparison's folder, and say where.

    :raises ValueError: no run, no checkpoint, no such class or clip, or a video that cannot be read
    """
    for folder in config.runs:
        page = inspect_folder(folder, config)
        print(f"{page}: open it in any browser. In TensorBoard: tensorboard --logdir {folder}")


def inspect_folder(folder: Path, config: Inspect) -> Path:
    """The same of one folder; returns its page."""
    found = find_runs(folder)
    alone = Run(folder).exists
    jobs = found.trained if alone else representatives(found.trained)
    played = [play(job, config) for job in jobs]
    tables = judged_tables(found, lambda: open_clips(jobs[0].data, "test"))
    curves = [table for table in ([curves_table(jobs[0])] if alone else tables) if table is not None]
    notes = [HOW_CHOSEN]
    if not alone:
        notes.insert(
            0, f"{len(found.trained)} runs; episodes of one run a method: {', '.join(job.folder.name for job in jobs)}."
        )
        if found.unfinished:
            notes.append(f"{found.unfinished} runs without a checkpoint yet are left out.")
    target = Run(folder).inspection  # what it holds is replaced
    if target.exists():
        shutil.rmtree(target)
    shown = [
        episode
        for one in played
        for episode in write_run(target if alone else target / one.job.folder.name, one, alone)
    ]
    page = write_page(
        str(folder),
        notes=notes,
        tables={"Runs whose episodes are shown": runs_grid(played, config.split), **grids_of(tables)},
        front=front_picture(tables) or NO_FRONT,
        learning=learning_picture(curves) or NO_LEARNING,
        episodes=shown,
    )
    write_bytes(target / "index.html", page.encode())
    return target / "index.html"


def representatives(jobs: Sequence[Train | Imported]) -> list[Train | Imported]:
    """A run of each method: of those of equal rollouts the cost weight nearest 1, the smallest group, the lowest seed."""

    def rank(job: Train | Imported) -> tuple:
        return (
            Run(job.folder).seconds is not None,
            job.reward != "log_prob",
            abs(job.cost_weight - 1),
            job.group_size,
            job.seed,
        )

    methods = dict.fromkeys(row_method(job) for job in jobs)
    return [min((job for job in jobs if row_method(job) == method), key=rank) for method in methods]


def play(job: Train | Imported, config: Inspect) -> Played:
    """Play what was asked for of one run."""
    trained = open_trained(Predict(Path(), job.folder, threads=config.threads, device=config.device))
    clips, result = None, None
    choices: list[Choice] = []
    records: list[EpisodeRecord] = []
    own = own_videos(config.paths, trained.data, trained.classes) if config.paths else None  # its errors come at once
    if asks_for_clips(config):
        clips = open_clips(trained.data, config.split, for_evaluation=True)
        title = f"{job.folder.name} on {config.split}"
        result = evaluate(trained.model, trained.backbone, clips, order=trained.layout.order, progress=title)
        choices = choose(config, result, trained.classes)
        records = _record(trained, job, clips, [choice.clip for choice in choices])
    if own is not None:
        choices += [Choice("video", f"video_{number}", number) for number in range(len(own))]
        records += [record.unlabelled() for record in _record(trained, job, own, range(len(own)))]
    return Played(job, clips, result, choices, records)


def _record(trained: Trained, job: Train | Imported, clips: ClipSource, indices: Sequence[int]) -> list[EpisodeRecord]:
    return record_episodes(
        trained.model,
        trained.backbone,
        clips,
        list(indices),
        order=trained.layout.order,
        reward=job.reward,
        cost_weight=job.cost_weight,
    )


def write_run(target: Path, played: Played, alone: bool) -> list[Shown]:
    """Write a run's pictures, animations and events, and return what the page shows of it.

    :param alone: the page has no other run, and room for animations
    """
    target.mkdir(parents=True, exist_ok=True)
    curve = Run(played.job.folder).read_curve()
    step, shown = int(curve[-1]["rollouts"]) if curve else 0, []  # played in training, where that is known
    with SummaryWriter(str(target)) as writer:
        episodes = list(zip(played.choices, played.records, strict=True))
        for choice, record in tqdm(episodes, desc="drawing", unit="episode", disable=None, leave=False):
            png, gif = encode_png(record), animate_episode(record)
            stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in choice.name)
            for suffix, content in ((".png", png), (".gif", gif)):
                write_bytes(target / f"{stem}{suffix}", content)
            write_episode(writer, choice.name, record, step, png=png, gif=gif)
            title = record.prediction if record.label is None else record.label
            title = f"{choice.name.replace('_', ' ')}: {title}"
            run = played.job.folder.resolve().name
            shown.append(Shown(choice.kind, run, choice.name, title, png, gif if alone else None, record.facts()))
        write_probabilities(writer, played.records, step)
    return shown


def runs_grid(played: Sequence[Played], split: str) -> Grid:
    """What the runs that were played have reached on the whole split, as far as it was played."""
    header, cells = ["run", "method", "cost weight", "seed", f"accuracy on {split} %", "cost, share of dense"], []
    for one in played:
        figures = ["-", "-"]
        if one.result is not None and one.clips is not None:
            found = figures_of(one.result, one.clips)
            figures = [
                "{:.1f} [{:.1f}, {:.1f}]".format(*found["accuracy"].to_json()),
                "{:.3f} [{:.3f}, {:.3f}]".format(*found["cost"].to_json()),
            ]
        job = one.job
        cells.append([job.folder.resolve().name, row_method(job), f"{job.cost_weight:g}", str(job.seed), *figures])
    return header, cells
