"""Tables of evaluations as tasks: NAS-Bench-201, NAS-Bench-Graph, HPOBench, HPOLib, or a file of one's own.

A table answers in microseconds what training would take hours for, so samplers can be compared over many seeds
(Klein and Hutter 2019; Dong and Yang 2020; Qin et al. 2022; Eggensperger et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from automl.data.metrics import Direction
from automl.data.table_files import read_table
from automl.data.tables import Table as Data
from automl.data.tables import is_numeric, missing
from automl.errors import InputError, nearest
from automl.observations import Candidate
from automl.parameters import Value
from automl.spaces.base import Space
from automl.spaces.cell import EDGE_OPERATIONS, GRAPH_OPERATIONS, CellSpace
from automl.spaces.table import Column, TableSpace
from studies.benchmark.packaged_tables import graph_hash, graph_values, grid_choices, grid_values

_PROTEIN_OPERATIONS: Final = ("gcn", "sage", "arma", "dense", "skip")
_PACKAGE_LABELS: Final = {"dense": "fc"}

DATA_SETS: Final[Mapping[str, tuple[str, ...]]] = {
    "nb201": ("cifar10", "cifar100", "imagenet"),
    "nbgraph": ("cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers", "arxiv", "proteins"),
    "hpobench": ("australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle"),
    "hpolib": ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization"),
}
"""Data sets of each family of tables, by the family's name."""


class BenchmarkTask(Protocol):
    """What a benchmark asks of a task; `Table` says what each member means."""

    @property
    def name(self) -> str:
        """Family and data set."""

    @property
    def space(self) -> Space:
        """The candidates."""

    @property
    def unit(self) -> str:
        """What a regret of 1 is."""

    @property
    def noisy(self) -> bool:
        """Whether evaluations are noisy."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should be told."""

    @property
    def digest(self) -> str:
        """What tells its data from others of the same name; empty where a name has one meaning alone."""

    def evaluate(self, candidate: Candidate, generator: np.random.Generator) -> float:
        """One evaluation."""

    def mean(self, candidate: Candidate) -> float:
        """The noise-free value."""

    def test_value(self, candidate: Candidate) -> float | None:
        """The value on test data, if known."""

    def regret(self, value: float) -> float:
        """How much worse than the best a noise-free value is."""

    def loss(self, value: float) -> float:
        """The value as a loss."""


@dataclass(frozen=True, eq=False)
class Table:
    """A task whose every candidate has been evaluated.

    Args:
        name: Family and data set, such as "nb201/cifar10", or the file's name.
        space: The candidates.
        direction: Whether small or large values are good.
        observed: What each evaluation gave, [rows, seeds]; NaN where a row has fewer seeds than others.
        means: The noise-free value of each row, [rows].
        find: The row of an assignment that the space encodes.
        scale: What regrets are divided by.
        unit: What a regret of 1 is, in words.
        noisy: Whether `evaluate` answers with one of the seeds, drawn at random; else with the mean.
        test: The value of each row on data that no search may see, [rows]; None where it is not stored.
        notes: What the reader of the table decided and the user should be told.
        digest: Digest of a file's evaluations; empty for published tables.
    """

    name: str
    space: Space
    direction: Direction
    observed: NDArray[np.float64]
    means: NDArray[np.float64]
    find: Callable[[Mapping[str, Value]], int]
    scale: float = 1.0
    unit: str = "the target's own unit"
    noisy: bool = False
    test: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    digest: str = ""
    _rows: dict[str, int] = field(default_factory=dict, repr=False)

    def row(self, candidate: Candidate) -> int:
        """The row of a candidate; raises ValueError if it lies outside the space."""
        if candidate.digest not in self._rows:
            self._rows[candidate.digest] = self.find(self.space.encode(candidate))
        return self._rows[candidate.digest]

    def evaluate(self, candidate: Candidate, generator: np.random.Generator) -> float:
        """What one evaluation of the candidate gives: a random one of its seeds where the table is noisy."""
        row = self.row(candidate)
        if not self.noisy:
            return float(self.means[row])
        seeds = self.observed[row][~np.isnan(self.observed[row])]
        return float(seeds[generator.integers(len(seeds))])

    def mean(self, candidate: Candidate) -> float:
        """The candidate's noise-free value."""
        return float(self.means[self.row(candidate)])

    def test_value(self, candidate: Candidate) -> float | None:
        """The candidate's value on the test data; None where the table stores none."""
        return None if self.test is None else float(self.test[self.row(candidate)])

    @cached_property
    def best(self) -> float:
        """The best noise-free value of the table."""
        return float(self.means.max() if self.direction == "maximize" else self.means.min())

    def regret(self, value: float) -> float:
        """How much worse than the best a noise-free value is, in the table's unit; 0 at best."""
        return abs(self.best - value) / self.scale

    def loss(self, value: float) -> float:
        """The value as a loss: smaller is better."""
        return -value if self.direction == "maximize" else value


def table_names() -> tuple[str, ...]:
    """Names that `load_table` knows."""
    return tuple(f"{family}/{data_set}" for family, data_sets in DATA_SETS.items() for data_set in data_sets)


def load_table(name: str, *, noisy: bool | None = None) -> Table:
    """Loads a published table by name; the same object when asked again.

    Args:
        name: "FAMILY/DATA SET" of `table_names`; the start of a data set's name will do where it is unambiguous.
        noisy: Whether an evaluation gives a random one of the stored seeds; None for the family's custom:
            NAS-Bench-201 does, the others give the mean.

    Raises:
        InputError: If the name is unknown, the package that holds the table is not installed, or evaluations shall be
            noisy where one value alone is stored.
    """
    family, _, start = name.partition("/")
    found = [data_set for data_set in DATA_SETS.get(family, ()) if data_set.startswith(start)] if start else []
    exact = [data_set for data_set in found if data_set == start] or found
    if len(exact) != 1:
        raise InputError(
            f"got the table {name!r}, expected FAMILY/DATA SET such as {nearest(name, table_names())}; "
            "'automl benchmark --list' shows all."
        )
    return _load(family, exact[0], noisy)


@lru_cache(maxsize=32)
def _load(family: str, data_set: str, noisy: bool | None) -> Table:
    if family == "nb201":
        return _nas_bench_201(data_set, noisy is not False)
    if family == "nbgraph":
        _check_noisy(noisy, f"{family}/{data_set}", is_repeated=False)
        return _nas_bench_graph(data_set)
    return _hpobench(data_set, noisy is True) if family == "hpobench" else _hpolib(data_set, noisy is True)


def _check_noisy(noisy: bool | None, name: str, *, is_repeated: bool) -> None:
    if noisy and not is_repeated:
        raise InputError(
            f"got --noisy for {name}, which holds one value of each candidate, so that there is nothing to draw; "
            "leave it away."
        )


def _nas_bench_201(data_set: str, noisy: bool) -> Table:
    """Validation accuracy in percent. The package stores no test accuracy."""
    sizes = [len(EDGE_OPERATIONS)] * 6
    observed = grid_values("nasbench201", data_set, "val_acc", sizes)
    choices = grid_choices("nasbench201")

    def find(assignment: Mapping[str, Value]) -> int:
        places = [labels.index(label) for labels, label in zip(choices.values(), assignment.values(), strict=True)]
        return int(np.ravel_multi_index(places, sizes))

    return Table(
        name=f"nb201/{data_set}",
        space=CellSpace.nas_bench_201(),
        direction="maximize",
        observed=observed,
        means=np.nanmean(observed, axis=1),
        find=find,
        unit="percentage points of validation accuracy",
        noisy=noisy,
    )


def _nas_bench_graph(data_set: str) -> Table:
    """Validation performance in percent, the mean of the three stored runs as published: nothing is left to draw."""
    rows, validation, test = graph_values(data_set)
    operations = _PROTEIN_OPERATIONS if data_set == "proteins" else GRAPH_OPERATIONS

    def find(assignment: Mapping[str, Value]) -> int:
        links, *labels = map(str, assignment.values())
        package_labels = [_PACKAGE_LABELS.get(label, label) for label in labels]
        return rows[graph_hash([int(source) for source in links.split("-")], package_labels)]

    return Table(
        name=f"nbgraph/{data_set}",
        space=CellSpace.nas_bench_graph(operations),
        direction="maximize",
        observed=100 * validation[:, None],
        means=100 * validation,
        find=find,
        unit="percentage points of validation performance",
        test=100 * test,
    )


def _grid_space(package_folder: str) -> tuple[TableSpace, list[int]]:
    choices = grid_choices(package_folder)
    ordered = {name: not isinstance(values[0], str) for name, values in choices.items()}
    space = TableSpace(tuple(Column(name, tuple(values), ordered[name]) for name, values in choices.items()))
    return space, [len(values) for values in choices.values()]


def _grid_find(space: TableSpace, sizes: list[int]) -> Callable[[Mapping[str, Value]], int]:
    def find(assignment: Mapping[str, Value]) -> int:
        places = [column.index(assignment[column.name]) for column in space.columns]
        return int(np.ravel_multi_index(places, sizes))

    return find


def _hpobench(data_set: str, noisy: bool) -> Table:
    """1 - validation accuracy; regrets as a share of the range between the best and the worst row."""
    space, sizes = _grid_space("hpobench")
    observed = 1 - grid_values("hpobench", data_set, "val_acc", sizes)
    means = np.nanmean(observed, axis=1)
    return Table(
        name=f"hpobench/{data_set}",
        space=space,
        direction="minimize",
        observed=observed,
        means=means,
        find=_grid_find(space, sizes),
        scale=float(means.max() - means.min()),
        unit="the range of the table's validation errors",
        noisy=noisy,
    )


def _hpolib(data_set: str, noisy: bool) -> Table:
    """Logarithm of the validation loss; regrets as a share of the distance between the best and the median row."""
    space, sizes = _grid_space("hpolib")
    losses = grid_values("hpolib", data_set, "val_loss", sizes)
    means = np.log(np.nanmean(losses, axis=1))
    return Table(
        name=f"hpolib/{data_set}",
        space=space,
        direction="minimize",
        observed=np.log(losses),
        means=means,
        find=_grid_find(space, sizes),
        scale=float(np.median(means) - means.min()),
        unit="the distance from the best to the median logarithm of the validation loss",
        noisy=noisy,
    )


def table_from_file(path: str | Path, target: str, direction: Direction, *, noisy: bool | None = None) -> Table:
    """A table from one's own log of evaluations: a CSV or Parquet file with a row for each.

    Numeric columns are ordered, others categories; a missing value is a value of its own, the first in order. Columns
    of one value alone are left out, and so are rows whose target is missing or infinite. Rows that agree in everything
    but the target are repetitions of one evaluation, and then an evaluation answers with a random one of them, unless
    the mean is asked for.

    Args:
        path: The file.
        target: Name of the column that holds what is to be minimised or maximised.
        direction: "minimize" or "maximize".
        noisy: Whether an evaluation answers with a random one of its repetitions, and not with their mean; None where
            there are any.

    Raises:
        InputError: If the file, the target or the direction will not do, no two rows differ, or evaluations shall be
            noisy where none is repeated.
    """
    if direction not in ("minimize", "maximize"):
        raise InputError(f"got the direction {direction!r}, expected 'minimize' or 'maximize'; choose one of these.")
    data = read_table(path)
    values, kept = _target_values(data, target)
    columns = [_column(name, data, kept) for name in data.columns if name != target]
    varying = [(column, places) for column, places in columns if len(column.values) > 1]
    if not varying:
        raise InputError(
            f"got {str(path)!r}, in which no column but the target varies, expected evaluations that differ in "
            "something to search; add such columns or rows."
        )
    rows = [tuple(map(int, row)) for row in np.stack([places for _, places in varying], axis=1)]
    space = TableSpace(tuple(column for column, _ in varying), tuple(rows))
    table = _own_table(Path(path).name, space, direction, rows, values, _reading_notes(len(data), columns, kept))
    _check_noisy(noisy, table.name, is_repeated=table.noisy)
    return table if noisy is None else replace(table, noisy=noisy)


def _target_values(data: Data, target: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if target not in data.columns:
        raise InputError(
            f"got the target {target!r}, expected a column such as {nearest(target, data.columns)}; name one of these."
        )
    column = data.columns[target]
    if not is_numeric(column):
        raise InputError(f"got the target {target!r}, a column of texts, expected numbers; choose a numeric column.")
    kept = np.isfinite(column)
    if not kept.any():
        raise InputError(f"got the target {target!r} without a finite value, expected numbers; choose another column.")
    return column[kept], kept


def _column(name: str, data: Data, kept: NDArray[np.bool_]) -> tuple[Column, NDArray[np.int64]]:
    """A column of the space, and for each kept row the place of its value."""
    values = data.columns[name][kept]
    absent = missing(values)
    known, inverse = np.unique(values[~absent], return_inverse=True)
    choices: list[Value] = [_name_of_missing(known.tolist())] if absent.any() else []
    places = np.zeros(len(values), dtype=np.int64)
    places[~absent] = inverse + len(choices)
    return Column(name, (*choices, *known.tolist()), ordered=is_numeric(data.columns[name])), places


def _name_of_missing(known: Sequence[Value]) -> str:
    """A name for missing values that no value of the column has."""
    name = "missing"
    while name in known:
        name = f"({name})"
    return name


def _reading_notes(n_rows: int, columns: list[tuple[Column, NDArray[np.int64]]], kept: NDArray[np.bool_]) -> list[str]:
    notes = []
    if not kept.all():
        notes.append(f"Left out {n_rows - int(kept.sum())} of {n_rows} rows, whose target is missing or infinite.")
    constant = [column.name for column, _ in columns if len(column.values) < 2]
    if constant:
        notes.append(f"Left out the columns {', '.join(constant)}, which never vary.")
    return notes


def _own_table(
    name: str,
    space: TableSpace,
    direction: Direction,
    rows: list[tuple[int, ...]],
    values: NDArray[np.float64],
    notes: list[str],
) -> Table:
    repetitions: dict[tuple[int, ...], list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        repetitions.setdefault(row, []).append(float(value))
    observed = np.full((len(repetitions), max(map(len, repetitions.values()))), np.nan)
    for i, found in enumerate(repetitions.values()):
        observed[i, : len(found)] = found
    index = {row: i for i, row in enumerate(repetitions)}

    def find(assignment: Mapping[str, Value]) -> int:
        return index[tuple(column.index(assignment[column.name]) for column in space.columns)]

    return Table(
        name=name,
        space=space,
        direction=direction,
        observed=observed,
        means=np.nanmean(observed, axis=1),
        find=find,
        noisy=observed.shape[1] > 1,
        notes=tuple(notes),
        digest=blake2b(repr((space, rows, values.tolist())).encode(), digest_size=8).hexdigest(),
    )
