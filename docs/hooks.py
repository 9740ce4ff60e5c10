"""What the site needs beyond the pages of this folder. mkdocs calls the functions named ``on_...``.

- The site is this folder laid over the repository: a page may link to any file of the repository, as it may on a code host,
  and the file comes along, a Markdown file as a page of its own. So every text keeps its one owner, and no link needs a network.
- The reference has a page for each module that declares ``__all__``, or takes what users register.
- ``<!-- figures: METHOD -->`` becomes that method's rows of the committed reports, digit by digit.
- A fence ``math`` holds LaTeX, which becomes MathML.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FLOORS = ("backbone", "envs", "agent", "experiments")
HOME = "overview.md"  # of the repository's README: "README.md" would be the site's first page
CODE = {".py": "python", ".yml": "yaml", ".toml": "toml", ".txt": "text", ".cff": "yaml", "": "make"}
LINK = re.compile(r"(?P<code>^```.*?^```|`[^`\n]+`)|(?<=\]\()(?P<target>[^)\s#]+)(?=[)#])", re.MULTILINE | re.DOTALL)
DEFINITION = re.compile(r"^(?:class|def) (\w+)", re.MULTILINE)
REGISTERING = re.compile(r"^(?:def )?(register_\w+)", re.MULTILINE)
FIGURES = re.compile(r"^<!-- figures: (\w+) -->$", re.MULTILINE)


# -- links ----------------------------------------------------------------------------------------------------------


def links(text: str, place: str) -> Iterator[tuple[re.Match, str]]:
    """Links of a Markdown file to files, outside of its code: the match, and the file's path in the repository.

    :param place: of the Markdown file itself, in the repository
    :raises ValueError: there is no such file
    """
    for match in LINK.finditer(text):
        target = match["target"]
        if not target or re.match(r"[a-z]+:", target):
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        if path.startswith("../") or not (ROOT / path).is_file():
            raise ValueError(f"{place}: expected a link to a file of the repository, got {target}")
        yield match, path


def is_own(path: str) -> bool:
    """Whether the site has it from this folder as it stands; code is shown on a page, from here as from elsewhere."""
    return path.startswith("docs/") and Path(path).suffix not in CODE


def in_site(path: str) -> str:
    """Where the site has a file of the repository."""
    if is_own(path):
        return path.removeprefix("docs/")
    if path == "README.md":
        return HOME
    return f"{path}.md" if Path(path).suffix in CODE else path


def relinked(text: str, place: str) -> str:
    """A Markdown file of the repository with its links as the site has them."""
    here = posixpath.dirname(in_site(place)) or "."
    for match, path in reversed(list(links(text, place))):
        text = text[: match.start()] + posixpath.relpath(in_site(path), here) + text[match.end() :]
    return text


def linked_files(starts: list[str]) -> list[str]:
    """Every file of the repository that these pages lead to over links, themselves included."""
    found, waiting = [], list(starts)
    while waiting:
        place = waiting.pop()
        if place in found:
            continue
        found.append(place)
        if place.endswith(".md"):
            waiting += [path for _, path in links((ROOT / place).read_text(encoding="utf-8"), place)]
    return found


# -- reference ------------------------------------------------------------------------------------------------------


def public_names(source: str) -> list[str]:
    """What a module's ``__all__`` lists; empty without one."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def reference_pages() -> dict[str, str]:
    """Text of a page for each module of the reference, by its dotted name, floor by floor.

    A module is there if it declares ``__all__``, or if a user's own things are registered in it and no ``__all__`` says so.
    Classes and functions have an entry; of a constant there is nothing to say but its value, of a module its own page.
    """
    paths = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
    sources = {path: path.read_text(encoding="utf-8") for path in paths}
    listed = {name for source in sources.values() for name in public_names(source)}
    defined = {name for source in sources.values() for name in DEFINITION.findall(source)}
    pages = {}
    for path, source in sources.items():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        names = public_names(source)
        if set(REGISTERING.findall(source)) - listed:
            names = names or [name for name in DEFINITION.findall(source) if not name.startswith("_")]
        entries = [f"::: {module}.{name}\n" for name in names if name in defined]
        if entries:
            about = ast.get_docstring(ast.parse(source)) or ""
            pages[module] = "\n".join([f"# {module}\n", f"{about}\n", *entries])
    return pages


# -- figures --------------------------------------------------------------------------------------------------------

FULL, GRADIENTS = (f"experiments/results/{name}.md" for name in ("full/report", "gradients/gradients"))
COMMANDS = {
    FULL: "python -m experiments compare --preset full",
    GRADIENTS: "python -m experiments gradients --backbone runs/full/backbone-s0/backbone.pt --run runs/gradients",
}
AREA = {"hypervolume": "", "minus gumbel": "minus gumbel", "minus static": "minus static"}
BIAS = {"bias": "", "largest t": "largest t", "relative bias": "relative bias"}
GROUPS = {"group 1": "groups of 1:", "group 8": "groups of 8:"}
PRICE = {"passes forward": "", "backward": ""}
TIME = {"CPU ms": "", "variance x time, leave-one-out = 1": "variance x time"}
COSINE = "Cosine of one estimate with the reference, equal rollouts"
ROLLOUTS, SECONDS = (f"{budget} each, groups of 8 channels" for budget in ("8,000 rollouts", "10 seconds"))
ROWS = (  # of a method's tables: words, report, heading, columns and how they are called
    ("hypervolume, 8,000 rollouts", FULL, ROLLOUTS, AREA),
    ("cost at 90% accuracy", FULL, f"{ROLLOUTS}: Cost at an accuracy", {"cost at 90%": ""}),
    ("accuracy % at cost 0.2", FULL, f"{ROLLOUTS}: Accuracy at a cost", {"accuracy % at cost 0.2": ""}),
    ("hypervolume, 10 seconds", FULL, SECONDS, AREA),
    ("bias against the exact gradient, initial gates", GRADIENTS, "Against the exact gradient, initial gates", BIAS),
    ("the same, perturbed gates", GRADIENTS, "Against the exact gradient, perturbed gates", BIAS),
    ("cosine with the truth, 128 rollouts", GRADIENTS, COSINE, GROUPS),
    ("the same at equal compute (rollouts)", GRADIENTS, "The same at equal compute", GROUPS),
    ("passes of the CNN a rollout, forward; backward", GRADIENTS, "What an estimate costs, groups of 1", PRICE),
    ("CPU ms, 128 rollouts; variance x time (1: leave-one-out)", GRADIENTS, "What an estimate costs, groups of 1", TIME),
)  # fmt: skip


def tables(path: str) -> dict[str, list[dict[str, str]]]:
    """The rows of a report's tables, by heading; "SECTION: PART" below a heading of the third level."""
    found: dict[str, list[dict[str, str]]] = {}
    section, heading, header = "", "", []
    for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = heading = line[3:]
        elif line.startswith("### "):
            heading = f"{section}: {line[4:]}"
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif set("".join(cells)) != {"-"}:
            found.setdefault(heading, []).append(dict(zip(header, cells, strict=True)))
    return found


def figures(method: str) -> str:
    """What the committed reports say of a method: a table for each report, under the command that makes it.

    :raises ValueError: no report knows the method, or a report no longer has a table or a column
    """
    if method == "fixed":
        return fixed_figures()
    lines: dict[str, list[str]] = {}
    for words, report, heading, columns in ROWS:
        table = tables(report).get(heading, [])
        if not table or set(columns) - set(table[0]):
            raise ValueError(f"expected a table with {', '.join(columns)} under {heading!r} of {report}, found none")
        row = next((row for row in table if row["method"].split(" ")[0] == method), None)
        if row is not None:
            said = [f"{label} {row[column]}".strip() for column, label in columns.items() if row[column] != "-"]
            lines.setdefault(report, []).append(f"| {words} | {'; '.join(said)} |")
    if not lines:
        raise ValueError(f"expected a method that the reports name, got {method!r}")
    return "\n\n".join(
        "\n".join([f"`{COMMANDS[report]}`\n", "| measure | figure |", "|---|---|", *of_report])
        for report, of_report in lines.items()
    )


def fixed_figures() -> str:
    """What the comparison says of the policies that do not learn, which have no cost weight."""
    every = tables(FULL)["8,000 rollouts each, groups of 8 channels: Every policy"]
    fixed = [row for row in every if row["cost weight"] == "-"]
    columns = {"method": "policy", "greedy: accuracy %": "accuracy %", "greedy: cost": "cost"}
    lines = [f"| {' | '.join(row[column] for column in columns)} |" for row in fixed]
    return "\n".join([f"| {' | '.join(columns.values())} |", "|---|---|---|", *lines])


# -- mkdocs ---------------------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    fence = {"name": "math", "class": "math", "format": mathml}
    config["mdx_configs"].setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def mathml(source: str, *args: Any, **kwargs: Any) -> str:
    """The block of a fence ``math``."""
    from latex2mathml.converter import convert  # beside mkdocs, which tests do without

    return f'<div class="math">{convert(source, display="block")}</div>'


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    pages = reference_pages()
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    for entry in config["nav"]:
        if "Reference" in entry:
            entry["Reference"] = [{name: f"reference/{name}.md"} for name in pages]
    own = [f"docs/{file.src_uri}" for file in files.documentation_pages() if file.generated_by is None]
    in_nav = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "experiments/README.md", "experiments/tensorboard.md"]
    for path in linked_files([*own, *in_nav]):
        if is_own(path):
            continue
        if in_site(path) != path and path != "README.md":
            source = (ROOT / path).read_text(encoding="utf-8")
            text = f"---\nhide: [toc]\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n~~~~{CODE[Path(path).suffix]}\n{source}\n~~~~\n"
            files.append(File.generated(config, in_site(path), content=text))
        elif path.endswith(".md"):
            text = relinked((ROOT / path).read_text(encoding="utf-8"), path)
            files.append(File.generated(config, in_site(path), content=text))
        else:
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(text: str, page: Any, config: Any, files: Any) -> str:
    if page.file.generated_by is None:
        text = relinked(text, f"docs/{page.file.src_uri}")
    return FIGURES.sub(lambda match: figures(match[1]), text)
