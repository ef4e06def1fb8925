"""The floors of the house, read from the source: imports run studies -> automl -> kernels, never back or in rings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"kernels": {"kernels"}, "automl": {"automl", "kernels"}, "studies": {"studies", "automl", "kernels"}}
ONLY_ON = {"optuna": {"studies"}, "optuna_dashboard": {"studies"}, "ot": {"kernels"}, "typer": {"studies"}}


def modules(floor: str) -> dict[str, Path]:
    """The modules of a floor by dotted name; a package goes by the name of its folder."""
    paths = sorted((ROOT / floor).rglob("*.py"))
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def imports(path: Path) -> Iterator[str]:
    """Every module that the file names in an import, deferred and type-checking ones included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import; imports are absolute"
            # `from studies import cli` names the module studies.cli; `from studies import load_study` the package root.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names if names <= ALL.keys() else (node.module or "",)


ALL = {name: path for floor in FLOORS for name, path in modules(floor).items()}


def test_every_floor_has_modules() -> None:
    assert {name.split(".")[0] for name in ALL} == set(FLOORS)


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_itself_and_the_floors_below(floor: str) -> None:
    for name, path in modules(floor).items():
        wrong = {module for module in imports(path) if module.split(".")[0] in set(FLOORS) - FLOORS[floor]}
        assert not wrong, f"{name} imports {sorted(wrong)}; {floor} may not"


@pytest.mark.parametrize("library", ONLY_ON)
def test_some_libraries_are_known_on_one_floor_only(library: str) -> None:
    users = {name for name, path in ALL.items() if library in {module.split(".")[0] for module in imports(path)}}
    assert {name.split(".")[0] for name in users} <= ONLY_ON[library], f"{library} is imported by {sorted(users)}"


def test_the_import_graph_has_no_ring() -> None:
    # A package root is a printed table of contents: it names its modules for readers, and no module may import it.
    graph = {name: {m for m in imports(path) if m in ALL} for name, path in ALL.items() if path.name != "__init__.py"}
    order = list(TopologicalSorter(graph).static_order())
    assert set(graph) <= set(order)


def test_no_module_imports_its_own_package_root() -> None:
    for name, path in ALL.items():
        if path.name != "__init__.py":
            assert name.split(".")[0] not in set(imports(path)), f"{name} imports its own package root"
