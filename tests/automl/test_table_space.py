"""TableSpace: every space's laws, holes of a table, and refusals."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from automl.observations import Candidate
from automl.parameters import Categorical, Int
from automl.spaces.base import Space
from automl.spaces.table import Column, TableSpace
from tests.contracts.space import SpaceContract

DEPTH = Column("depth", (1, 2, 4, 8), ordered=True)
RATE = Column("rate", (1e-4, 1e-2), ordered=True)
ACTIVATION = Column("activation", ("relu", "tanh"), ordered=False)
HOLES = ((0, 0, 0), (1, 0, 1), (3, 1, 0), (3, 1, 1))


class TestGrids(SpaceContract):
    def make_space(self) -> Space:
        return TableSpace((DEPTH, RATE, ACTIVATION))


class TestTablesWithHoles(SpaceContract):
    def make_space(self) -> Space:
        return TableSpace((DEPTH, RATE, ACTIVATION), HOLES)


def test_ordered_columns_are_searched_by_index_and_others_by_value() -> None:
    space = TableSpace((DEPTH, ACTIVATION))
    candidate = space.decode({"depth": 2, "activation": "tanh"})
    assert space.row(candidate) == {"depth": 4, "activation": "tanh"}
    assert space.parameters == {"depth": Int(0, 3), "activation": Categorical(("relu", "tanh"))}


def test_all_rows_are_listed_once_in_their_order() -> None:
    grid = TableSpace((DEPTH, RATE, ACTIVATION))
    assert len(grid.candidates) == 16
    assert len({candidate.digest for candidate in grid.candidates}) == 16
    assert grid.row(grid.candidates[3]) == {"depth": 1, "rate": 1e-2, "activation": "tanh"}
    assert grid.row(grid.candidates[-1]) == {"depth": 8, "rate": 1e-2, "activation": "tanh"}
    holes = TableSpace((DEPTH, RATE, ACTIVATION), (*HOLES, HOLES[0]))
    assert [tuple(holes.row(c).values()) for c in holes.candidates[1:3]] == [(2, 1e-4, "tanh"), (8, 1e-2, "relu")]


def test_a_hole_stands_for_the_nearest_row() -> None:
    space = TableSpace((DEPTH, RATE, ACTIVATION), HOLES)
    near = space.decode({"depth": 2, "rate": 1, "activation": "tanh"})
    assert space.encode(near) == {"depth": 3, "rate": 1, "activation": "tanh"}


def test_distances_are_in_units_of_the_range_of_ordered_columns() -> None:
    space = TableSpace((DEPTH, RATE, ACTIVATION), ((0, 0, 0), (2, 1, 0), (2, 0, 1)))
    near = space.decode({"depth": 2, "rate": 0, "activation": "relu"})  # two thirds of a range are less than a whole
    assert space.encode(near) == {"depth": 0, "rate": 0, "activation": "relu"}


def test_of_equally_near_rows_the_first_stands() -> None:
    space = TableSpace((Column("x", (0, 1, 2), ordered=True),), ((2,), (0,)))
    assert space.encode(space.decode({"x": 1})) == {"x": 2}


def test_samples_are_rows_all_of_them_alike_often() -> None:
    space, generator = TableSpace((DEPTH, RATE, ACTIVATION), HOLES), np.random.default_rng(0)
    drawn = [space.candidates.index(space.sample(generator)) for _ in range(800)]
    assert np.bincount(drawn, minlength=4).min() > 150  # 200 expected, standard deviation 12


def test_mutants_in_a_sparse_table_are_near_rows() -> None:
    column = Column("x", tuple(range(40)), ordered=True)
    other = Column("y", tuple(range(40)), ordered=True)
    space, generator = TableSpace((column, other), tuple((i, i) for i in range(40))), np.random.default_rng(0)
    parent = space.decode({"x": 20, "y": 20})
    steps = {abs(int(space.mutate(parent, generator).hyperparameters["x"]) - 20) for _ in range(60)}
    assert steps == {1, 2, 3, 4}


def test_a_table_of_one_row_has_no_mutants() -> None:
    space = TableSpace((DEPTH, ACTIVATION), ((1, 0),))
    only = space.candidates[0]
    assert space.mutate(only, np.random.default_rng(0)) == only


def test_a_candidate_that_is_no_row_is_refused() -> None:
    space = TableSpace((DEPTH, RATE, ACTIVATION), HOLES)
    with pytest.raises(ValueError, match="expected a row of the table"):
        space.encode(Candidate(None, {"depth": 2, "rate": 0, "activation": "relu"}))


def test_bad_tables_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"got the columns \['depth', 'depth'\]"):
        TableSpace((DEPTH, DEPTH))
    with pytest.raises(ValueError, match="got a table without rows"):
        TableSpace((DEPTH,), ())
    with pytest.raises(ValueError, match=r"got the row \(4,\)"):
        TableSpace((DEPTH,), ((4,),))
    with pytest.raises(ValueError, match=r"got the row \(0.7,\)"):
        TableSpace((DEPTH,), cast(Any, ((0.7,),)))
    with pytest.raises(ValueError, match="each once"):
        Column("depth", (1, 1), ordered=True)


def test_columns_of_numbers_and_of_truth_values_that_python_holds_equal_are_different_spaces() -> None:
    numbers, truths = (TableSpace((Column("flag", values, ordered=False),)) for values in ((0, 1), (False, True)))
    assert numbers != truths
    assert numbers == TableSpace((Column("flag", (0, 1), ordered=False),))
