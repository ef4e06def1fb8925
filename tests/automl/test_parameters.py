"""Parameters: ranges, the unit scale, sampling and their dicts."""

from __future__ import annotations

import json
import math
import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.parameters import Categorical, Float, Int, Parameter, Value, coerced, nearest, parameter_from_dict

EXAMPLES: tuple[Parameter, ...] = (
    Float(-1.0, 2.0),
    Float(1e-5, 1e-1, log=True),
    Float(3.0, 3.0),
    Int(-2, 9),
    Int(1, 500, log=True),
    Int(7, 7, log=True),
    Categorical(("adamw", "sgd")),
    Categorical((0.1, 0.5, True, "x")),
)
PARAMETERS = st.sampled_from(EXAMPLES)


@settings(max_examples=60, deadline=None)
@given(parameter=PARAMETERS, seed=st.integers(0, 2**32 - 1))
def test_samples_lie_in_the_range_and_return_from_the_unit_scale(parameter: Parameter, seed: int) -> None:
    value = parameter.sample(np.random.default_rng(seed))
    assert parameter.contains(value)
    back = parameter.from_unit(parameter.to_unit(value))
    assert back == (pytest.approx(value, rel=1e-12) if isinstance(parameter, Float) else value)


@settings(max_examples=60, deadline=None)
@given(parameter=PARAMETERS, unit=st.floats(-1e6, 1e6) | st.floats(-3, 3))
def test_positions_beyond_the_range_are_clipped_to_it(parameter: Parameter, unit: float) -> None:
    assert parameter.contains(parameter.from_unit(unit))


@pytest.mark.parametrize("parameter", EXAMPLES)
def test_a_parameter_is_read_back_from_its_dict(parameter: Parameter) -> None:
    assert parameter_from_dict(json.loads(json.dumps(parameter.to_dict()))) == parameter


def test_a_logarithmic_float_is_uniform_in_its_logarithm() -> None:
    generator = np.random.default_rng(0)
    logs = [math.log10(Float(1e-4, 1.0, log=True).sample(generator)) for _ in range(2000)]
    assert np.mean(logs) == pytest.approx(-2, abs=0.1)
    assert np.std(logs) == pytest.approx(4 / 12**0.5, abs=0.05)


def test_a_logarithmic_integer_owns_the_half_units_around_it() -> None:
    generator = np.random.default_rng(0)
    drawn = Counter(Int(1, 4, log=True).sample(generator) for _ in range(4000))
    for value in range(1, 5):
        probability = math.log((value + 0.5) / (value - 0.5)) / math.log(9)
        assert drawn[value] / 4000 == pytest.approx(probability, abs=0.03)


def test_the_unit_scale_of_a_logarithmic_range_is_its_logarithm() -> None:
    assert Float(1e-4, 1.0, log=True).to_unit(1e-2) == pytest.approx(0.5)
    assert Int(1, 100, log=True).from_unit(0.5) == 10
    assert Float(0.0, 4.0).to_unit(1.0) == 0.25


@pytest.mark.parametrize(
    ("parameter", "outside"),
    [
        (Float(0.0, 1.0), (1.1, -0.1, float("nan"), "0.5", True)),
        (Int(1, 3), (0, 4, 1.5, "2", False, float("inf"))),
        (Categorical(("a", "b")), ("c", 0)),
    ],
)
def test_values_outside_are_told_apart(parameter: Parameter, outside: tuple[Any, ...]) -> None:
    assert not any(parameter.contains(value) for value in outside)


def test_stored_numbers_are_coerced_to_the_type_of_the_parameter() -> None:
    for value, parameter in ((3.0, Int(1, 5)), (1, Float(0.0, 2.0)), (np.float64(0.5), Float(0.0, 1.0))):
        assert parameter.contains(value)
    assert type(coerced(Int(1, 5), 3.0)) is int
    assert type(coerced(Float(0.0, 2.0), 1)) is float
    assert coerced(Categorical(("a", "b")), "b") == "b"


def test_choices_that_python_holds_equal_are_different_ranges() -> None:
    numbers, truths = Categorical((0, 1)), Categorical((False, True))
    assert numbers != truths
    assert numbers == Categorical([0, 1])  # type: ignore[arg-type]  # a list does as well
    assert pickle.loads(pickle.dumps(truths)) == truths
    assert replace(truths, choices=(0, 1)) == numbers
    assert repr(numbers) == "Categorical(choices=(0, 1))"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(2.0, 1.0), "range 2.0 to 1.0"),
        (lambda: Float(0.0, math.inf), "finite bounds"),
        (lambda: Float(-1e308, 1e308), "whose width is beyond the largest number"),
        (lambda: Float(1, 10**400), "finite bounds"),
        (lambda: Int(1, 10**30), "expected bounds of at most 9,007,199,254,740,992"),
        (lambda: Float(0.0, 1.0, log=True), "lower bound 0.0 on a logarithmic scale"),
        (lambda: Int(5, 4), "range 5 to 4"),
        (lambda: Int(0, 4, log=True), "lower bound 0 on a logarithmic scale"),
        (lambda: Int(1.5, 4), "range 1.5 to 4, expected whole bounds"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: Float("0", 1.0), "the bound '0', expected a number"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: Int(None, 4), "the bound None, expected a number"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: Categorical(([16, 16], [32])), r"the choice \[16, 16\], expected a text, a number or a truth value"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: Categorical(()), "expected one or more"),
        (lambda: Categorical("ab"), "the choices 'ab', expected a list or tuple"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: Categorical(3), "the choices 3, expected a list or tuple"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: Categorical(("a", "a")), "each once"),
        (lambda: parameter_from_dict({"type": "complex"}), "type 'complex'"),
    ],
)
def test_ranges_that_hold_nothing_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("parameter", "wanted", "found"),
    [
        (Float(0.0, 1.0), 2, 1.0),
        (Float(1e-4, 1e-2, log=True), None, 1e-3),
        (Int(8, 64), 100, 64),
        (Int(8, 64), 9.0, 9),
        (Int(8, 64), "wide", 36),
        (Categorical(("relu", "tanh")), "tanh", "tanh"),
        (Categorical(("relu", "tanh")), "elu", "relu"),
    ],
)
def test_the_nearest_value_lies_within_the_range(parameter: Parameter, wanted: Value | None, found: Value) -> None:
    value = nearest(parameter, wanted)
    assert value == pytest.approx(found)
    assert type(value) is type(found)


@pytest.mark.parametrize(
    ("parameter", "plain"),
    [
        (Float(0, 1), Float(0.0, 1.0)),
        (Float(np.float32(0.25), np.int64(2), log=True), Float(0.25, 2.0, log=True)),  # type: ignore[arg-type]  # as NumPy's users write
        (Int(np.int64(1), np.float64(4.0)), Int(1, 4)),  # type: ignore[arg-type]  # as NumPy's users write
        (Categorical(tuple(np.array([16, 32]))), Categorical((16, 32))),
    ],
)
def test_numbers_of_numpy_and_whole_bounds_become_plain_numbers(parameter: Parameter, plain: Parameter) -> None:
    assert json.dumps(parameter.to_dict()) == json.dumps(plain.to_dict())
    assert type(parameter.from_unit(1.0)) is type(plain.from_unit(1.0)) is type(plain.from_unit(0.5))
