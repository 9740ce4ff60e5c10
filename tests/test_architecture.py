"""Rules that hold for the source itself, read as a syntax tree."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("backbone", "envs", "agent", "experiments")  # each may import itself and those before it
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

Check = Callable[[ast.AST, str], Iterator[str]]


def modules_imported(tree: ast.AST) -> Iterator[str]:
    """Every module that the source imports, functions' own imports included, as dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = "." * node.level + (node.module or "")
            yield from (f"{parent}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def wrong_imports(tree: ast.AST, room: str) -> Iterator[str]:
    """Imports of a room that comes later, and relative ones, which this check would not see through."""
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for module in modules_imported(tree):
        top = module.split(".")[0]
        if module.startswith(".") or (top in ROOMS and top not in allowed):
            yield f"{room} imports {module}"


def code_that_loads_code(tree: ast.AST, room: str) -> Iterator[str]:
    """Calls that may run code from a file."""
    for module in modules_imported(tree):
        if module in ("torch.load", "pickle.load", "pickle.loads", "numpy.load"):
            yield f"{module} imported by name"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        unsafe_torch = function == "torch.load" and keywords.get("weights_only") != "True"
        unsafe_numpy = function in ("np.load", "numpy.load") and keywords.get("allow_pickle", "False") != "False"
        if unsafe_torch or unsafe_numpy or re.fullmatch(r"pickle\.loads?|pickle\.Unpickler", function):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def decisions_by_number(tree: ast.AST, room: str) -> Iterator[str]:
    """The last axis of something named after decisions, indexed by a bare number."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)):
            continue
        first, last = node.slice.elts[0], ast.unparse(node.slice.elts[-1])
        of_decisions = re.search(r"decision|one_hot|choice|chosen|probab", ast.unparse(node.value))
        if of_decisions and ast.unparse(first) == "..." and re.fullmatch(r"-?\d+", last):
            yield f"line {node.lineno}: {ast.unparse(node)}"


CHECKS = (wrong_imports, code_that_loads_code, decisions_by_number)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_keeps_the_rule(check: Check, path: Path):
    room = path.relative_to(ROOT).parts[0]
    assert not list(check(ast.parse(path.read_text(encoding="utf-8")), room))


def circles(sources: dict[str, str]) -> set[frozenset[str]]:
    """Files that import each other by way of however many others, at whatever time.

    A package's own file stands for all that it shows, and whoever is inside the package may name it.

    :param sources: dotted name of a module -> its text
    """
    graph = {}
    for name, text in sources.items():
        found = set()
        for module in modules_imported(ast.parse(text)):
            while module and module not in sources:  # a name that a file defines
                module = module.rpartition(".")[0]
            found |= {module} - {"", name} if not name.startswith(f"{module}.") else set()
        graph[name] = found

    def reached(start: str) -> set[str]:
        seen, todo = set(), list(graph[start])
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo.extend(graph[name])
        return seen

    reach = {name: reached(name) for name in graph}
    return {frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]}


def test_no_file_in_the_house_imports_itself_by_way_of_others():
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES}
    found = circles({name.removesuffix(".__init__"): path.read_text("utf-8") for path, name in names.items()})
    assert not found


def test_control_a_circle_is_found_at_whatever_time_it_closes():
    sources = {"a": "from b import x", "b": "import c", "c": "def late():\n    from a import y", "d": "import a"}
    assert circles(sources) == {frozenset("abc")}
    assert not circles(sources | {"c": "import e"})


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_looked_at(room):
    assert any(path.is_relative_to(ROOT / room) for path in SOURCES)


@pytest.mark.parametrize(
    ("check", "room", "source"),
    [
        (wrong_imports, "backbone", "import envs"),
        (wrong_imports, "backbone", "from agent.policies.gate import GateNetwork"),
        (wrong_imports, "envs", "def late():\n    import agent.algorithms.ppo as ppo"),
        (wrong_imports, "envs", "from .. import agent"),
        (wrong_imports, "agent", "from experiments import config"),
        (wrong_imports, "agent", "importlib.import_module('experiments.config')"),
        (code_that_loads_code, "agent", "torch.load(path)"),
        (code_that_loads_code, "agent", "torch.load(path, weights_only=False)"),
        (code_that_loads_code, "agent", "from torch import load"),
        (code_that_loads_code, "agent", "pickle.loads(data)"),
        (code_that_loads_code, "agent", "np.load(path, allow_pickle=True)"),
        (decisions_by_number, "agent", "decisions[..., 0]"),
        (decisions_by_number, "agent", "one_hot(chosen)[..., -1]"),
    ],
)
def test_control_the_check_finds_a_breach(check: Check, room: str, source: str):
    assert list(check(ast.parse(source), room))


@pytest.mark.parametrize(
    ("check", "room", "source"),
    [
        (wrong_imports, "envs", "import torch\nfrom backbone import Decision\nfrom envs.spaces import StepLayout"),
        (wrong_imports, "experiments", "from experiments.config import Train\nfrom agent import ppo"),
        (code_that_loads_code, "backbone", "torch.load(path, map_location='cpu', weights_only=True)"),
        (decisions_by_number, "envs", "decisions[..., Decision.USE]\nscalars[..., 0]"),
    ],
)
def test_control_the_check_passes_good_source(check: Check, room: str, source: str):
    assert not list(check(ast.parse(source), room))


def test_every_module_has_its_test_file():
    modules = [path.relative_to(ROOT) for path in SOURCES if path.stem != "__init__"]
    wanted = {path: ROOT / "tests" / path.parent / f"test_{path.stem.strip('_')}.py" for path in modules}
    assert not [str(path) for path, test in wanted.items() if not test.exists()]
