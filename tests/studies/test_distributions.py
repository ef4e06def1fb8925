"""Parameters and Optuna distributions are the same ranges under two names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from automl.parameters import Categorical, Float, Int, Parameter
from studies.distributions import to_distribution, to_parameter

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
    assert to_distribution(to_parameter(distribution)) == distribution


@pytest.mark.parametrize(
    "distribution",
    [FloatDistribution(0, 1, step=0.5), IntDistribution(0, 10, step=2), CategoricalDistribution([None, "a"])],
)
def test_a_distribution_without_a_counterpart_is_refused(distribution: BaseDistribution) -> None:
    with pytest.raises(ValueError, match="expected floats without a step"):
        to_parameter(distribution)
