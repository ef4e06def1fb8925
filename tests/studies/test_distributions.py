"""Parameters and Optuna distributions are the same ranges under two names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from automl.parameters import Categorical, Float, Int, Parameter
from studies.distributions import on_grid, to_distribution, to_parameter

_floats = st.builds(
    lambda low, width, log: Float(low, low + width, log), st.floats(1e-9, 1e9), st.floats(0, 1e9), st.booleans()
)
_ints = st.builds(
    lambda low, width, log: Int(low, low + width, log),
    st.integers(1, 10**6),
    st.integers(0, 10**6),
    st.booleans(),
)
_values = st.one_of(st.text(max_size=5), st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False))
_categoricals = st.lists(_values, min_size=1, max_size=5, unique=True).map(lambda values: Categorical(tuple(values)))


@settings(max_examples=50, deadline=None)
@given(st.one_of(_floats, _ints, _categoricals))
def test_a_parameter_survives_the_way_to_optuna_and_back(parameter: Parameter) -> None:
    assert to_parameter(to_distribution(parameter)) == parameter


@pytest.mark.parametrize(
    "distribution",
    [FloatDistribution(0, 1), IntDistribution(1, 100, log=True), CategoricalDistribution(["a", 1])],
)
def test_a_distribution_survives_the_way_to_a_parameter_and_back(distribution: BaseDistribution) -> None:
    parameter = to_parameter(distribution)
    assert parameter is not None and to_distribution(parameter) == distribution


@pytest.mark.parametrize(
    ("distribution", "value", "nearest"),
    [
        (FloatDistribution(0, 1, step=0.25), 0.4, 0.5),
        (FloatDistribution(0, 1, step=0.25), 0.99, 1.0),
        (FloatDistribution(0.5, 2.5, step=0.5), 0.9, 1.0),
        (IntDistribution(1, 9, step=4), 4, 5),
        (IntDistribution(7, 15, step=4), 8, 7),
        (IntDistribution(1, 9), 4, 4),
        (FloatDistribution(0, 1), 0.4, 0.4),
        (CategoricalDistribution(["a", "b"]), "b", "b"),
    ],
)
def test_a_value_is_moved_to_the_nearest_step(distribution: BaseDistribution, value: object, nearest: object) -> None:
    assert on_grid(distribution, value) == nearest
    assert distribution._contains(distribution.to_internal_repr(on_grid(distribution, value)))


def test_steps_are_no_part_of_a_parameter() -> None:
    assert to_parameter(IntDistribution(0, 10, step=2)) == Int(0, 10)
    assert to_parameter(FloatDistribution(0, 1, step=0.5)) == Float(0, 1)


def test_ranges_too_wide_for_a_parameter_have_none() -> None:
    assert to_parameter(FloatDistribution(-1e308, 1e308)) is None
    assert to_parameter(IntDistribution(1, 10**30)) is None


def test_choices_without_a_plain_value_have_no_parameter() -> None:
    assert to_parameter(CategoricalDistribution([None, "a"])) is None
