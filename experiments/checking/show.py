"""A report on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table

from backbone.common.naming import printable
from experiments.checking.report import KINDS, SHOWN, Compared, Report, Split

FEW = 20  # classes that are shown one by one
UNEQUAL = 2  # times the clips of the smallest class, above which the largest is worth a sentence
LEAKS = ("source", "near")
CAUTION = (
    "Clips of one fixed camera look alike at any moment, and what is learned of one helps with the others: name the sources "
    "in groups.csv or by --group-pattern, by which class folders are divided, or divide the lists anew by source."
)


def show(report: Report, console: Console) -> None:
    """A table of the splits, then every kind of problem with its first examples."""
    title = printable(f"{report.root} ({report.layout}), {report.classes} classes")
    console.print(_table(title, ["split", *COLUMNS], [[name, *_cells(split)] for name, split in report.splits.items()]))
    if report.classes <= FEW:
        console.print(_table("Clips of each class", ["class", *report.splits], _by_class(report)))
    for sentence in _remarks(report):
        console.print(printable(sentence))
    for kind, count in report.count().items():
        if count:
            console.print(f"\n{KINDS[kind]}: {count}", style="bold red")
            of_kind = [problem for problem in report.problems if problem.kind == kind]
            for problem in of_kind[:SHOWN]:
                console.print(f"  {printable(str(problem))}")
            if count > SHOWN:
                console.print(f"  and {count - SHOWN} more: --json lists them all")
    if any(problem.kind in LEAKS for problem in report.problems):
        console.print(f"\n{CAUTION}")
    if report.clean:
        console.print("\nNothing is wrong with these data.", style="bold green")
    else:
        console.print(f"\nProblems: {len(report.problems)}.", style="bold red")


COLUMNS = ("clips", "sources", "left out", "a class has", "median", "without clips")


def _cells(split: Split) -> list[str]:
    spread = f"{split.per_class['min']} to {split.per_class['max']}"
    sources = "-" if split.sources is None else str(split.sources)
    median = f"{split.per_class['median']:g}"
    return [str(split.clips), sources, str(split.absent), spread, median, str(len(split.without_clips))]


def _by_class(report: Report) -> Iterator[list[str]]:
    for name in dict.fromkeys(name for split in report.splits.values() for name in split.clips_of):
        yield [printable(name), *(str(split.clips_of.get(name, "-")) for split in report.splits.values())]


def _table(title: str, columns: Iterable[str], rows: Iterable[list[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _remarks(report: Report) -> Iterator[str]:
    notes = {split.note for split in report.splits.values()}
    if len(notes) == 1 and len(report.splits) > 1:
        yield from filter(None, notes)
    for name, split in report.splits.items():
        if split.note and len(notes) > 1:
            yield f"{name}: {split.note}"
        if split.without_clips:
            some = ", ".join(split.without_clips[:SHOWN])
            yield f"{name}: no clips of {some}{', ...' if len(split.without_clips) > SHOWN else ''}"
    if unequal := list(_unequal(report)):
        yield (
            f"Unequal classes, {', '.join(unequal)}: accuracy counts them by their clips, evaluate shows each and the mean of all."
        )
    if report.compared is not None:
        yield _tell(report.compared)


def _unequal(report: Report) -> Iterator[str]:
    """Of each split whose classes are, the largest and the smallest that has clips."""
    for name, split in report.splits.items():
        sizes = {of_class: clips for of_class, clips in split.clips_of.items() if clips}
        largest, smallest = (choose(sizes, key=sizes.__getitem__, default="") for choose in (max, min))
        if sizes and sizes[largest] > UNEQUAL * sizes[smallest]:
            yield f"in {name} {sizes[largest]} clips of {largest} for {sizes[smallest]} of {smallest}"


def _tell(compared: Compared) -> str:
    sample = f" ({compared.left_out} of validation and testing were left out by chance)" if compared.left_out else ""
    flat = f"; {compared.flat} have no frame with contrast enough to tell" if compared.flat else ""
    return f"Looks compared across splits: {compared.frames} frames of each of {compared.clips} clips{sample}{flat}."
