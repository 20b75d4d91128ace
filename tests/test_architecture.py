"""The house: which package and which room may use which, and what no file may do. docs/architecture.md says why.

Every import counts, also those inside functions and under TYPE_CHECKING. For the order of packages and rooms a text
that names a module of ours counts too, as in the tables of targets and losses, whose rows are files that know them.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES, MAX_MEDIAN_LINES, MAX_FILES_IN_ROOM = 300, 110, 22

# Each package, and those below it.
BELOW = {
    "icd_mobile": set(),
    "devices": {"icd_mobile"},
    "distill": {"icd_mobile"},
    "export": {"icd_mobile", "distill"},
    "bench": {"icd_mobile", "distill", "export", "devices"},
}
# The rooms of each package, the lowest first: a room may use those before it. "." are the files outside of rooms.
ROOMS = {
    "icd_mobile": (".", "pictures", "datasets", "retrieval"),
    "devices": (".",),
    "distill": (
        "students",
        "losses",
        "teachers",
        "augmentations",
        "teacher_cache",
        "configs",
        "checkpoints",
        "training",
        "comparison",
        "commands",
        ".",
    ),
    "export": ("mil", "runtimes", "bundle", "structure", "calibration", "quantization", "targets", "."),
    "bench": ("records", "artifacts", "descriptors", "report", "run", "rivals", "limits", "commands", "."),
}
APART = {("bench.run", "bench.report")}  # of these the first may not use the second, though it stands later
# They name everything that a person may use, so they stand above all packages.
FRONT_DOOR = {"icd_mobile", "icd_mobile.__main__"}
LIGHT = {"typer"}  # what a package, a command line and a subcommand's file may import of others


def _modules() -> dict[str, Path]:
    files = (path for package in BELOW for path in sorted((ROOT / package).rglob("*.py")))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


MODULES = _modules()
OURS = re.compile(rf"({'|'.join(BELOW)})(\.\w+)+")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that an import statement names; of `from PACKAGE import NAME`, the module NAME where it is one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in MODULES else node.module


def named(node: ast.AST) -> Iterator[str]:
    """The module of ours that a text is, with or without a name in it: `distill.losses.koleo:KoLeo`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.match(node.value):
        words = node.value.partition(":")[0]
        yield from (module for module in (words, words.rpartition(".")[0]) if module in MODULES)


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of ours that a module imports anywhere."""
    found = {name for node in ast.walk(tree_of(module)) for name in imported(node)}
    return frozenset(name for name in found if name in MODULES and name != module)


@cache
def uses(module: str) -> frozenset[str]:
    """Those, and the ones that it names in a text."""
    return imports(module) | {name for node in ast.walk(tree_of(module)) for name in named(node) if name != module}


def room_of(module: str) -> str:
    """`students` of `distill.students.student`; "." of a file outside of rooms."""
    parts = module.split(".")
    is_in_room = len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir()
    return parts[1] if is_in_room else "."


@pytest.mark.parametrize("package", BELOW)
def test_no_package_uses_one_above_it(package: str) -> None:
    upward = [
        f"{module} uses {used}"
        for module in MODULES
        if module.split(".")[0] == package and module not in FRONT_DOOR
        for used in uses(module)
        if used.split(".")[0] not in BELOW[package] | {package}
    ]
    assert upward == []


@pytest.mark.parametrize("package", ROOMS)
def test_no_room_uses_one_above_it(package: str) -> None:
    order = ROOMS[package]
    upward = []
    for module in MODULES:
        if module.split(".")[0] != package or module in FRONT_DOOR or module == package:
            continue
        for used in uses(module):
            if used.split(".")[0] != package or used == package:
                continue
            one, other = room_of(module), room_of(used)
            is_apart = (f"{package}.{one}", f"{package}.{other}") in APART
            if order.index(other) > order.index(one) or is_apart:
                upward.append(f"{module} uses {used}")
    assert upward == []


def test_every_room_is_in_the_table() -> None:
    assert {module.split(".")[0]: set() for module in MODULES}.keys() == ROOMS.keys()
    for package, order in ROOMS.items():
        assert {room_of(module) for module in MODULES if module.split(".")[0] == package} <= set(order)


def test_files_do_not_go_in_circles() -> None:
    below: dict[str, set[str]] = {module: set(imports(module)) for module in MODULES if module not in FRONT_DOOR}
    while free := {module for module, used in below.items() if not used & below.keys()}:
        below = {module: used for module, used in below.items() if module not in free}
    assert sorted(below) == [], "these files use each other, or one that does"


def _at_import(module: str) -> set[str]:
    """What is imported when a module is: statements outside of functions and of `if TYPE_CHECKING`."""
    found: set[str] = set()
    nodes: list[ast.AST] = list(tree_of(module).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        found.update(imported(node))
        nodes.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize(
    "module",
    [name for name, path in MODULES.items() if path.name in {"__init__.py", "__main__.py"} or ".commands." in name],
)
def test_packages_and_command_lines_import_nothing_heavy(module: str) -> None:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        parents = [".".join(one.split(".")[:count]) for count in range(1, one.count(".") + 2)]
        for name in (*parents, *_at_import(one)):
            if name in MODULES and name not in seen:
                seen.add(name)
                waiting.append(name)
            elif name not in MODULES:
                assert name.split(".")[0] in sys.stdlib_module_names | LIGHT, f"{one} imports {name}"


@pytest.mark.parametrize("module", ["icd_mobile", *(name for name in MODULES if name.endswith(".__main__"))])
def test_a_fresh_interpreter_stays_light_too(module: str) -> None:
    heavy = ("torch", "numpy", "pydantic", "PIL", "onnxruntime", "tensorflow", "coremltools", "faiss", "rich.progress")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_and_rooms_stay_small() -> None:
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: count for module, count in lines.items() if count > MAX_LINES} == {}
    assert statistics.median(lines.values()) < MAX_MEDIAN_LINES
    rooms: dict[Path, int] = {}
    for path in MODULES.values():
        rooms[path.parent] = rooms.get(path.parent, 0) + 1
    assert {folder: count for folder, count in rooms.items() if count > MAX_FILES_IN_ROOM} == {}
