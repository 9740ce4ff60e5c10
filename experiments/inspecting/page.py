"""One HTML page of an inspection: it holds its pictures, styles and script itself, and asks no network for anything."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from experiments.comparison.grids import Grid

KINDS = {
    "clip": "fixed clips",
    "failure": "failures",
    "cheapest": "cheapest",
    "dearest": "dearest",
    "label": "by label",
    "video": "own videos",
}


class Shown(NamedTuple):
    """An episode on the page.

    :param kind: one of KINDS
    :param run: name of the run that played it
    :param png: its picture
    :param gif: its animation, if the page is to hold it
    :param facts: of its card: name and text
    """

    kind: str
    run: str
    name: str
    title: str
    png: bytes
    gif: bytes | None
    facts: Mapping[str, str]


STYLE = """
:root { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #282828; background: #fff; }
body { max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; font-weight: 600; }
p.note { color: #5a5a5a; margin: .3rem 0; } img { max-width: 100%; height: auto; display: block; }
nav a { margin-right: 1rem; color: #0072b2; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e3e3e3; }
th { border-bottom: 2px solid #282828; } th:first-child, td:first-child { text-align: left; }
.controls { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; position: sticky; top: 0; background: #fff;
  padding: .5rem 0; }
button, select { font: inherit; padding: .35rem .9rem; border: 1px solid #8a8a8a; border-radius: .4rem;
  background: #f6f6f6; color: inherit; min-height: 2.6rem; } button:disabled { color: #aaa; }
button:focus-visible, select:focus-visible { outline: 3px solid #0072b2; }
.episode { margin: .5rem 0 1.5rem; } .episode figcaption { font-weight: 600; margin-bottom: .3rem; overflow-wrap: anywhere; }
.episode dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .9rem; margin: .6rem 0; }
.episode dt { color: #5a5a5a; } .episode dd { margin: 0; overflow-wrap: anywhere; }
.js .episode { display: none; } .js .episode.shown { display: block; }
html:not(.js) .controls, html:not(.js) .play { display: none; }
@media print {
  .controls, .play, nav { display: none; } .js .episode { display: block; break-inside: avoid; } body { max-width: none; }
  .scroll { overflow: visible; } table { font-size: .6rem; } th, td { white-space: normal; padding: .15rem .3rem; }
}
"""

SCRIPT = """
document.documentElement.classList.add("js");
const figures = [...document.querySelectorAll(".episode")];
const place = document.getElementById("place");
const selects = ["kind", "run"].map(id => document.getElementById(id)).filter(Boolean);
let at = 0;
const listed = () => figures.filter(f => selects.every(s => !s.value || f.dataset[s.id] === s.value));
function show(number) {
  const list = listed();
  at = Math.max(0, Math.min(number, list.length - 1));
  figures.forEach(f => f.classList.toggle("shown", f === list[at]));
  place.textContent = list.length ? `${at + 1} of ${list.length}` : "none";
  document.getElementById("previous").disabled = at <= 0;
  document.getElementById("next").disabled = at >= list.length - 1;
}
document.getElementById("previous").onclick = () => show(at - 1);
document.getElementById("next").onclick = () => show(at + 1);
selects.forEach(s => s.onchange = () => show(0));
document.addEventListener("keydown", event => {
  if (event.target.tagName === "SELECT" || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowRight") show(at + 1);
  if (event.key === "ArrowLeft") show(at - 1);
});
document.querySelectorAll(".play").forEach(button => button.onclick = () => {
  const image = button.closest(".episode").querySelector("img");
  const other = image.dataset.other;
  image.dataset.other = image.src;
  image.src = other;
  button.textContent = button.textContent === "Play" ? "Still" : "Play";
});
show(0);
"""


def write_page(
    title: str,
    *,
    notes: Sequence[str],
    tables: Mapping[str, Grid],
    front: bytes | str,
    learning: bytes | str,
    episodes: Sequence[Shown],
) -> str:
    """The page as text.

    :param notes: sentences under the title
    :param tables: by their titles
    :param front, learning: a PNG, or the sentence that stands in its place
    """
    runs = list(dict.fromkeys(episode.run for episode in episodes))
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        '<nav><a href="#table">Results</a><a href="#front">Accuracy and cost</a><a href="#learning">Learning</a>'
        '<a href="#episodes">Episodes</a></nav>',
        '<section id="table"><h2>Results</h2>',
        *(f'<h3>{escape(name)}</h3><div class="scroll">{_table(grid)}</div>' for name, grid in tables.items()),
        "</section>",
        f'<section id="front"><h2>Accuracy against cost</h2>{_picture(front, "Accuracy against cost")}</section>',
        f'<section id="learning"><h2>Learning curves</h2>{_picture(learning, "Learning curves")}</section>',
        '<section id="episodes"><h2>Episodes</h2>',
        _controls(episodes, runs),
        *(_figure(episode, number == 0, len(runs) > 1) for number, episode in enumerate(episodes)),
        "</section>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n<body>\n'
        + "\n".join(parts)
        + f"\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def data_uri(content: bytes) -> str:
    """PNG or GIF as an address that holds it."""
    kind = "gif" if content.startswith(b"GIF") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _table(grid: Grid) -> str:
    header, cells = grid
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _picture(content: bytes | str, name: str) -> str:
    if isinstance(content, str):
        return f'<p class="note">{escape(content)}</p>'
    return f'<img alt="{escape(name)}" src="{data_uri(content)}">'


def _controls(episodes: Sequence[Shown], runs: Sequence[str]) -> str:
    kinds = [kind for kind in KINDS if any(episode.kind == kind for episode in episodes)]
    options = "".join(f'<option value="{kind}">{KINDS[kind]}</option>' for kind in kinds)
    parts = [
        '<button id="previous" type="button" aria-label="previous episode">&larr;</button>',
        '<button id="next" type="button" aria-label="next episode">&rarr;</button>',
        '<span id="place" aria-live="polite"></span>',
        f'<select id="kind" aria-label="kind of episode"><option value="">all kinds</option>{options}</select>',
    ]
    if len(runs) > 1:
        options = "".join(f"<option>{escape(run)}</option>" for run in runs)
        parts.append(f'<select id="run" aria-label="run"><option value="">all runs</option>{options}</select>')
    return f'<div class="controls">{"".join(parts)}</div>'


def _figure(episode: Shown, shown: bool, name_run: bool) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in episode.facts.items())
    caption = f"{episode.run}: {episode.title}" if name_run else episode.title
    other, play = "", ""
    if episode.gif is not None:
        other = f' data-other="{data_uri(episode.gif)}"'
        play = '<button class="play" type="button">Play</button>'
    return (
        f'<figure class="episode{" shown" if shown else ""}" data-kind="{episode.kind}" data-run="{escape(episode.run)}">'
        f"<figcaption>{escape(caption)}</figcaption>"
        f'<img alt="{escape(caption)}" src="{data_uri(episode.png)}"{other}>{play}<dl>{facts}</dl></figure>'
    )
