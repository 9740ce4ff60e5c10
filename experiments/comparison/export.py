"""Every figure of a comparison's report as JSON, with its interval, its kind, and each seed's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.analysis.statistics import Interval
from experiments.comparison.claims import Sentence, claims_of, rivals
from experiments.comparison.measures import Measure, difference, figure_of, measures_of
from experiments.comparison.tables import Front, Row, Table, fronts

DIGITS = 6  # significant ones: the last ones of a double differ from machine to machine


def as_json(
    tables: Sequence[Table],
    sentences: Sequence[Sentence],
    facts: dict[str, Any],
    accuracies: Sequence[float],
    budgets: Sequence[float],
) -> dict[str, Any]:
    """report.json: intervals are {mean, low, high, kind, p}, null where there is no figure."""
    measures = measures_of(accuracies, budgets)
    return {
        "answer": [f"{sentence.table}: {sentence}" for sentence in sentences],
        "claims": [
            {
                "table": claim.table,
                "measure": claim.measure,
                "method": claim.subject,
                "against": claim.rival,
                "difference": _interval(claim.difference),
                "p_corrected": _rounded(claim.p),
                "verdict": claim.conclusion,
            }
            for claim in claims_of(sentences)
        ],
        "tables": [_table(table, measures) for table in tables],
        **facts,
    }


def _table(table: Table, measures: Sequence[Measure]) -> dict[str, Any]:
    found = fronts(table)
    return {
        "arm": table.arm,
        "group_size": table.group_size,
        "floor": table.floor,
        "fronts": [
            {
                "method": method,
                "seeds": list(front.seeds),
                **{measure.name: _measured(front, measure, rivals(found, method)) for measure in measures},
            }
            for method, front in found.items()
        ],
        "learned": [{**key._asdict(), **_row(row)} for key, row in table.rows.items()],
        "fixed": {name: _row(row) for name, row in table.fixed.items()},
    }


def _measured(front: Front, measure: Measure, against: dict[str, Front]) -> dict[str, Any]:
    """A measure of a front; where it is no more than a bound, ``at_most`` or ``at_least`` in place of a value."""
    figure, reading = figure_of(front, measure), measure.read(front)
    content: dict[str, Any] = {"value": _interval(figure.value)}
    if figure.bound is not None:
        content[{"≤": "at_most", "≥": "at_least"}[measure.bound]] = _rounded(figure.bound)
    content["seeds_reaching"] = figure.reached
    content["of_each_seed"] = list(map(_rounded, reading.value[0]))
    if reading.bound.any():
        content["of_each_seed_a_bound"] = reading.bound[0].tolist()
    content["minus"] = {name: _interval(difference(front, rival, measure)) for name, rival in against.items()}
    return content


def _row(row: Row) -> dict[str, Any]:
    return {
        "seeds": list(row.seeds),
        **{name: _interval(row.figure(name)) for name in row.figures},
        "of_each_seed": {name: list(map(_rounded, values[0])) for name, values in row.figures.items()},
        "pairs": {name: _interval(row.pair(name)) for name in row.pairs},
        **({"classes": {name: _interval(row.of_class(name)) for name in row.classes}} if row.classes else {}),
        **({"confusion": row.confusion} if row.confusion else {}),
        "training": row.training,
    }


def _interval(found: Interval | None) -> dict[str, Any] | None:
    if found is None:
        return None
    ends = {name: _rounded(getattr(found, name)) for name in ("mean", "low", "high")}
    return {**ends, "kind": found.kind, "p": _rounded(found.p)}


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
