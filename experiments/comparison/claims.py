"""What a report says in words: every claim with its difference, its interval, and a p-value corrected for all of them.

A claim compares two methods in one measure: the areas of their fronts, their costs at one accuracy, their accuracies at
one cost; never their policies of equal cost weight, which have neither the same cost nor the same accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.analysis.statistics import CLIPS, Interval, holm, interval
from experiments.comparison.measures import HYPERVOLUME, Figure, Measure, difference, figure_of, measures_of
from experiments.comparison.results import JOINT
from experiments.comparison.tables import Front, Table, fronts

RELAXATION = "gumbel"
BLIND = "static"  # learned, ignores its input: with every selection, the best blind policy
FROZEN = "frozen"  # the same method on a frozen CNN, to one whose CNN learns too
SHIFT, DENSE = "shift 1/4", "all use"
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Claim:
    """That one method has more or less of something than another.

    :param table: in which both stand, by its title
    :param subject, rival: the methods
    :param p: of no difference, two-sided; corrected once all claims of the report are known
    """

    table: str
    measure: str
    subject: str
    rival: str
    difference: Interval
    more: str
    less: str
    spec: str
    p: float

    @property
    def conclusion(self) -> str:
        """ "larger", or "not measurably larger"; of one seed, which says nothing of a method, "larger in this one seed"."""
        direction = self.more if self.difference.mean > 0 else self.less
        if self.p >= SIGNIFICANT:
            return f"not measurably {direction}"
        return f"{direction} in this one seed" if self.difference.kind == CLIPS else direction

    def __str__(self) -> str:
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.2g}"
        return f"{self.conclusion} ({self.difference:+{self.spec}}, {p})"


@dataclass(frozen=True)
class Sentence:
    """Claims about one measure against one rival, and the methods that cannot be compared in it.

    :param table: that it is about, by its title
    :param findings: of each method what is claimed, or its figure in words
    """

    table: str
    start: str
    findings: dict[str, Claim | str]

    def __str__(self) -> str:
        return f"{self.start}: {'; '.join(f'{method} {what}' for method, what in self.findings.items())}."


def front_title(method: str) -> str:
    """What a method's front is called: the blind method's is that of the best blind policy."""
    return f"{method} (best blind)" if method.removesuffix(JOINT) == BLIND else method


def rivals(found: dict[str, Front], method: str) -> dict[str, Front]:
    """The fronts that a method's is set against, by what they are to it."""
    regime = JOINT if method.endswith(JOINT) else ""  # what the CNN learned is no merit of the method
    names = {RELAXATION: RELAXATION + regime, BLIND: BLIND + regime, FROZEN: method.removesuffix(JOINT)}
    return {title: found[name] for title, name in names.items() if name in found and name != method}


def show_figure(figure: Figure, measure: Measure) -> str:
    """An interval, a bound as a bound, or in how many seeds there is a figure at all."""
    if figure.value is not None:
        return f"{figure.value:{measure.spec}}"
    if figure.bound is not None:
        return f"{measure.bound} {figure.bound:{measure.spec}}"
    return f"only {figure.reached} of {figure.seeds} seeds" if figure.reached else "no seed"


def sentences_of(tables: Sequence[Table], accuracies: Sequence[float], budgets: Sequence[float]) -> list[Sentence]:
    """All that a report says, p-values corrected for all of its claims together."""
    sentences = [sentence for table in tables for sentence in _of_table(table, accuracies, budgets)]
    if tables:
        sentences += _of_fixed(tables[0])
    corrected = iter(holm([claim.p for claim in claims_of(sentences)]))
    return [
        replace(
            sentence,
            findings={
                method: replace(what, p=next(corrected)) if isinstance(what, Claim) else what
                for method, what in sentence.findings.items()
            },
        )
        for sentence in sentences
    ]


def claims_of(sentences: Sequence[Sentence]) -> list[Claim]:
    """The claims in sentences, in order."""
    return [what for sentence in sentences for what in sentence.findings.values() if isinstance(what, Claim)]


def _of_table(table: Table, accuracies: Sequence[float], budgets: Sequence[float]) -> list[Sentence]:
    found = fronts(table)
    sentences = []
    blind = (BLIND, BLIND + JOINT)  # a yardstick, and no subject
    for against, title, measures in (
        (RELAXATION, "the relaxation", measures_of(accuracies, budgets)),
        (BLIND, "the best blind policy", measures_of((), budgets)),
    ):
        for regime in ("", JOINT):
            subjects = [
                method
                for method in found
                if method.endswith(JOINT) == bool(regime) and against in rivals(found, method) and method not in blind
            ]
            for measure in measures:
                sentences += _compared(table, found, measure, against, subjects, title)
    learning = [method for method in found if FROZEN in rivals(found, method) and method not in blind]
    return sentences + _compared(table, found, HYPERVOLUME, FROZEN, learning, "the same method on a frozen CNN")


def _compared(
    table: Table, found: dict[str, Front], measure: Measure, against: str, subjects: Sequence[str], title: str
) -> list[Sentence]:
    findings: dict[str, Claim | str] = {}
    for method in subjects:
        rival = rivals(found, method)[against]
        gap = difference(found[method], rival, measure)
        words = {"more": measure.more, "less": measure.less, "spec": measure.spec}
        findings[method] = (
            f"not compared: {show_figure(figure_of(found[method], measure), measure)}"
            if gap is None
            else Claim(table.title, measure.name, method, rival.method, gap, **words, p=gap.p)
        )
    if not findings:
        return []
    if against != FROZEN:
        rival = rivals(found, subjects[0])[against]
        title += f" ({rival.method}: {show_figure(figure_of(rival, measure), measure)})"
    return [Sentence(table.title, f"{measure.name}, against {title}", findings)]


def _of_fixed(table: Table) -> list[Sentence]:
    """What separates the two policies that use nearly everything."""
    shift, dense = (table.fixed[name] for name in (SHIFT, DENSE))
    gap = interval(shift.figures["accuracy"] - dense.figures["accuracy"], units=shift.units)
    claim = Claim("Fixed policies", "accuracy %", SHIFT, DENSE, gap, "higher", "lower", ".1f", gap.p)
    why = ", which sees the same pixels and nothing of time" if table.fixed[SHIFT].pairs else ""
    return [
        Sentence("Fixed policies", f"accuracy %, against {DENSE} ({dense.figure('accuracy'):.1f}){why}", {SHIFT: claim})
    ]
