from checking_cases import add, clean_data
from layout_cases import touch
from rich.console import Console

from experiments.checking.check import examine
from experiments.checking.report import Compared, Problem, Report, Split
from experiments.checking.show import CAUTION, show
from experiments.config import CheckData


def test_many_problems_are_cut_short_and_names_are_printed_as_they_are(tmp_path, capsys):
    names = [f"v/[bold]{i}.mp4" for i in range(12)]
    touch(clean_data(tmp_path), *names)
    add(tmp_path, "".join(f"{name} 1\n" for name in names))
    show(examine(CheckData(tmp_path, workers=1)), Console(soft_wrap=True, highlight=False, markup=False))
    printed = capsys.readouterr().out
    assert printed.count("/v/[bold]") == 10
    assert "and 2 more: --json lists them all" in printed


def shown(report, capsys):
    show(report, Console(soft_wrap=True, highlight=False, markup=False))
    return capsys.readouterr().out


def split(clips_of, **facts):
    counts = sorted(clips_of.values())
    per_class = {"min": counts[0], "median": counts[len(counts) // 2], "max": counts[-1]}
    missing = tuple(name for name, count in clips_of.items() if not count)
    return Split(**{"clips": sum(counts), "absent": 0, "sources": None, "note": "", "per_class": per_class,
                    "clips_of": clips_of, "without_clips": missing, **facts})  # fmt: skip


def report(splits, *problems, compared=None):
    return Report("data", "lists", 8, len(splits["train"].clips_of), splits, list(problems), compared)


def test_unequal_and_missing_classes_are_said_in_a_sentence_each(capsys):
    splits = {"train": split({"run": 50, "walk": 5}, sources=7), "test": split({"run": 3, "walk": 0})}
    printed = shown(report(splits), capsys)
    assert "test: no clips of walk\n" in printed
    assert "Unequal classes, in train 50 clips of run for 5 of walk: accuracy counts them by their clips" in printed
    assert ["run", "50", "3"] in [[word for word in line.split() if word != "│"] for line in printed.splitlines()]
    assert shown(report({"train": split({"run": 5, "walk": 4})}), capsys).count("Unequal") == 0


def test_many_classes_are_not_shown_one_by_one(capsys):
    few, many = ({"train": split({f"c{k}": 2 for k in range(count)})} for count in (20, 21))
    assert "Clips of each class" in shown(report(few), capsys)
    assert "Clips of each class" not in shown(report(many), capsys)


def test_what_is_said_of_every_split_is_said_once(capsys):
    splits = {name: split({"run": 1}, note="a note") for name in ("train", "val", "test")}
    assert shown(report(splits), capsys).count("a note") == 1
    splits["test"] = split({"run": 1}, note="another")
    assert "test: another\n" in shown(report(splits), capsys)


def test_leaks_come_with_a_caution_and_what_was_compared_is_told(capsys):
    splits = {"train": split({"run": 1})}
    near = Problem("near", ("train", "test"), ("a", "b"), "b (test) looks like a (train): 3 of 64 bits differ")
    printed = shown(report(splits, near, compared=Compared(3, 20, 4, 2)), capsys)
    assert (
        "Looks compared across splits: 3 frames of each of 20 clips (4 of validation and testing were left out"
        in printed
    )
    assert "; 2 have no frame with contrast enough to tell." in printed
    assert "Clips that look like one of another split: 1\n  b (test) looks like a" in printed
    assert CAUTION in printed
    plain = shown(report(splits, Problem("missing", reason="gone"), compared=Compared(3, 20, 0, 0)), capsys)
    assert "of each of 20 clips.\n" in plain
    assert CAUTION not in plain
