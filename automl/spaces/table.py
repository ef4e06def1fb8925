"""TableSpace: a finite table of evaluations is a search space of its rows.

An ordered column is searched as the index of its sorted values, another as a category, so that a sampler sees the
order of the values and not their scale. Only the rows of the table are candidates; an assignment that is no row (a
hole of the table) stands for the nearest row, and equally near ones for the first of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate
from automl.parameters import Categorical, Int, Parameter, Value
from automl.spaces.base import Choose, Space
from automl.spaces.hyperparameters import encode_hyperparameters

_LONGEST_STEP = 3  # Of a mutation in an ordered column; one alone crawls through columns of ten values.
_NEIGHBOURS = 8  # Rows that a mutation chooses from where no row differs in one column alone.


@dataclass(frozen=True)
class Column:
    """A column of a table: its distinct values, sorted where they have an order.

    Raises:
        ValueError: If there is no value or one twice.
    """

    name: str
    values: tuple[Value, ...]
    ordered: bool
    _types: tuple[type, ...] = field(init=False, repr=False)  # as in `Categorical`: True, 1 and 1.0 are different

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "_types", tuple(type(value) for value in self.values))
        if not self.values or len(set(self.values)) < len(self.values):
            raise ValueError(
                f"got column {self.name!r} with the values {self.values}, expected one or more, each once."
            )

    @cached_property
    def parameter(self) -> Parameter:
        """The index of the value in an ordered column, else the value itself."""
        return Int(0, len(self.values) - 1) if self.ordered else Categorical(self.values)

    def index(self, value: Value) -> int:
        """The place of a parameter's value among the column's values."""
        return int(value) if self.ordered else self.values.index(value)

    def at(self, index: int) -> Value:
        """The parameter's value at a place: the inverse of `index`."""
        return int(index) if self.ordered else self.values[index]

    def near(self, index: int) -> range:
        """The places that a mutation may step to from a place, itself included."""
        if not self.ordered:
            return range(len(self.values))
        return range(max(index - _LONGEST_STEP, 0), min(index + _LONGEST_STEP + 1, len(self.values)))


@dataclass(frozen=True)
class TableSpace(Space):
    """The rows of a table as candidates, their hyperparameters the columns.

    Args:
        columns: What may be chosen.
        rows: For each row the places of its values among those of each column; None where every combination is a row.

    Raises:
        ValueError: If names of columns repeat, there is no row, or a row does not fit the columns.

    Example:
        >>> space = TableSpace((Column("depth", (1, 2, 4), ordered=True), Column("act", ("relu", "tanh"), False)))
        >>> space.row(space.candidates[3])
        {'depth': 2, 'act': 'tanh'}
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        names = [column.name for column in self.columns]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"got the columns {names}, expected one or more with names of their own; rename or add one."
            )
        if self.rows is not None:
            rows = [tuple(row) for row in self.rows]
            self._check_rows(rows)
            object.__setattr__(self, "rows", tuple(dict.fromkeys(tuple(map(int, row)) for row in rows)))

    def _check_rows(self, rows: Sequence[Sequence[int]]) -> None:
        sizes = [len(column.values) for column in self.columns]
        if not rows:
            raise ValueError("got a table without rows, expected at least one; add evaluations.")
        for row in rows:
            if len(row) != len(sizes) or not all(i in range(size) for i, size in zip(row, sizes, strict=True)):
                raise ValueError(f"got the row {row}, expected one place in each of the columns' {sizes} values.")

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """One parameter a column: an index where it is ordered, else a category."""
        return {column.name: column.parameter for column in self.columns}

    @property
    def hyperparameters(self) -> Mapping[str, Parameter]:
        """All parameters: a table knows no architectures."""
        return self.parameters

    def build(self, choose: Choose) -> Candidate:
        """Asks for every column and returns the row that is nearest to the answers, most often the row they are."""
        places = tuple(column.index(choose(column.name, column.parameter)) for column in self.columns)
        return self._candidate(self._nearest(places))

    def _candidate(self, places: Sequence[int]) -> Candidate:
        return Candidate(None, {column.name: column.at(i) for column, i in zip(self.columns, places, strict=True)})

    def _places(self, candidate: Candidate) -> tuple[int, ...]:
        return tuple(column.index(candidate.hyperparameters[column.name]) for column in self.columns)

    @cached_property
    def _known(self) -> frozenset[tuple[int, ...]]:
        return frozenset(self.rows or ())

    @cached_property
    def _matrix(self) -> NDArray[np.int64]:
        return np.array(self.rows or (), dtype=np.int64).reshape(-1, len(self.columns))

    def _nearest(self, places: tuple[int, ...]) -> tuple[int, ...]:
        """The row at the least distance: per column 0 to 1 of the range where it is ordered, else 0 or 1."""
        if self.rows is None or places in self._known:
            return places
        return self.rows[int(self._distances(places).argmin())]

    def _distances(self, places: tuple[int, ...]) -> NDArray[np.float64]:
        """Distance of every row to some places, [rows]."""
        scale = [1.0 / max(len(c.values) - 1, 1) if c.ordered else 1.0 for c in self.columns]
        distances: NDArray[np.float64] = np.minimum(np.abs(self._matrix - places) * scale, 1.0).sum(axis=1)
        return distances

    def encode(self, candidate: Candidate) -> dict[str, Value]:
        """The candidate's own hyperparameters.

        Raises:
            ValueError: If it is no row of the table.
        """
        assignment = encode_hyperparameters(candidate, self.parameters)
        if candidate.architecture is not None or (self.rows is not None and self._places(candidate) not in self._known):
            raise ValueError(
                f"got the candidate {assignment}, expected a row of the table; choose one of `candidates`."
            )
        return assignment

    def row(self, candidate: Candidate) -> dict[str, Value]:
        """The values of a candidate's row, by column."""
        return {column.name: column.values[i] for column, i in zip(self.columns, self._places(candidate), strict=True)}

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        """A row with one column changed, an ordered one by a few steps; else one of the nearest rows."""
        places = self._places(candidate)
        edits = [
            (*places[:c], i, *places[c + 1 :])
            for c, column in enumerate(self.columns)
            for i in column.near(places[c])
            if i != places[c]
        ]
        near = [edit for edit in edits if self.rows is None or edit in self._known] or self._neighbours(places)
        return self._candidate(near[int(generator.integers(len(near)))]) if near else candidate

    def _neighbours(self, places: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The nearest other rows, nearest first."""
        rows = self.rows or ()
        order = np.argsort(self._distances(places), kind="stable")[: _NEIGHBOURS + 1]
        return [rows[int(i)] for i in order if rows[int(i)] != places][:_NEIGHBOURS]

    def sample(self, generator: np.random.Generator) -> Candidate:
        """A row, each with the same probability."""
        return self.candidates[int(generator.integers(len(self.candidates)))]

    @cached_property
    def candidates(self) -> Sequence[Candidate]:
        """All rows in order, made when they are asked for."""
        return _Rows(self)

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON-ready fields, read back by `from_dict`."""
        columns = [{"name": c.name, "values": list(c.values), "ordered": c.ordered} for c in self.columns]
        return {
            "type": "table",
            "columns": columns,
            "rows": None if self.rows is None else [list(r) for r in self.rows],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TableSpace:
        """The inverse of `to_dict`; raises ValueError where the fields make no table."""
        columns = tuple(Column(c["name"], tuple(c["values"]), bool(c["ordered"])) for c in fields["columns"])
        rows = fields["rows"]
        return cls(columns, None if rows is None else tuple(tuple(row) for row in rows))


class _Rows(Sequence[Candidate]):
    """The candidates of a table as a sequence that holds none of them: tables have tens of thousands."""

    def __init__(self, space: TableSpace) -> None:
        self._space = space
        self._sizes = [len(column.values) for column in space.columns]

    def __len__(self) -> int:
        return math.prod(self._sizes) if self._space.rows is None else len(self._space.rows)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Candidate]: ...

    def __getitem__(self, index: int | slice) -> Candidate | Sequence[Candidate]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        if self._space.rows is not None:
            return self._space._candidate(self._space.rows[i])
        return self._space._candidate([int(place) for place in np.unravel_index(i, self._sizes)])
