"""The preprocessor against scikit-learn's scaler, imputer and encoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from automl.data.preprocessing import Preprocessor, fit_preprocessor
from automl.data.tables import Table
from automl.errors import InputError

N, ROWS = 60, np.arange(40)


@pytest.fixture(scope="module")
def table() -> Table:
    """Two columns of numbers, the second with gaps, and two of texts, one of them with gaps and rare levels."""
    generator = np.random.default_rng(0)
    gaps = generator.random(N) < 0.2
    colours = generator.choice(np.array(["red", "green", "blue", None], dtype=object), N)
    colours[[3, 7, 50]] = "teal", "gold", "teal"
    return Table(
        {
            "size": generator.lognormal(size=N),
            "colour": colours,
            "age": np.where(gaps, np.nan, generator.normal(40.0, 9.0, N)),
            "kind": generator.choice(np.array(["a", "b"], dtype=object), N),
        }
    )


def by_scikit_learn(table: Table) -> NDArray[np.float64]:
    """Numbers, then indicators of gaps, then levels: known, missing and pooled rare ones."""
    numbers = np.column_stack([table.columns["size"], table.columns["age"]])
    texts = np.column_stack([table.columns["colour"], table.columns["kind"]])
    scaler = make_pipeline(StandardScaler(), SimpleImputer(strategy="median", add_indicator=True))
    encoder = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist", sparse_output=False)
    parts = scaler.fit(numbers[ROWS]).transform(numbers), encoder.fit(texts[ROWS]).transform(texts)
    return np.hstack(parts)


def test_inputs_are_those_of_scikit_learn_fitted_on_the_same_rows(table: Table) -> None:
    preprocessor, _ = fit_preprocessor(table, ROWS)
    inputs, _ = preprocessor.transform(table)
    expected = by_scikit_learn(table)
    np.testing.assert_allclose(inputs, expected, rtol=1e-5, atol=1e-6)
    assert preprocessor.n_features == expected.shape[1]


def test_unseen_levels_have_no_input_where_none_was_rare_in_training(table: Table) -> None:
    kind = fit_preprocessor(table, ROWS)[0].texts[1]
    one_hot, unseen = kind.transform(np.array(["c", "b", None, "c"], dtype=object))
    np.testing.assert_array_equal(one_hot, [[0, 0], [0, 1], [0, 0], [0, 0]])
    assert unseen == {"c": 2}


def test_a_preprocessor_goes_through_json(table: Table) -> None:
    preprocessor, _ = fit_preprocessor(table, ROWS)
    assert Preprocessor.from_dict(json.loads(json.dumps(preprocessor.to_dict()))) == preprocessor


def test_infinite_values_are_refused_before_anything_is_fitted_to_them() -> None:
    with pytest.raises(InputError, match="'x'"):
        fit_preprocessor(Table({"x": np.array([1.0, np.inf, 2.0])}), np.arange(3))


def test_a_few_absurd_values_leave_the_rest_of_the_column_readable_and_are_told() -> None:
    usual = np.random.default_rng(0).normal(50.0, 10.0, 300)
    spoilt = np.append(usual, [1e6, -999_999.0])
    preprocessor, notes = fit_preprocessor(Table({"x": spoilt}), np.arange(len(spoilt)))
    inputs = preprocessor.transform(Table({"x": spoilt}))[0][:, 0]
    np.testing.assert_allclose(inputs[:-2], (usual - usual.mean()) / usual.std(), rtol=1e-4, atol=1e-4)
    assert inputs[-2:].tolist() == [10.0, -10.0]
    assert len(notes) == 1
    assert "'x': 2 of 302 values lie very far from the others, such as 1e+06" in notes[0]


def test_one_absurd_pixel_leaves_the_others_readable_and_is_told() -> None:
    pixels = np.random.default_rng(0).normal(size=(200, 4))
    spoilt = pixels.copy()
    spoilt[0, 0] = 1e6
    scales = []
    for images in (pixels, spoilt):
        table = Table({f"x{i}": images[:, i] for i in range(4)})
        preprocessor, notes = fit_preprocessor(table, np.arange(200), shared_scale=True)
        scales.append(preprocessor.numbers.scale[0])
    assert scales[1] == pytest.approx(scales[0], rel=0.01)
    (note,) = notes
    assert note.startswith("the pixels: 1 of 800 values lie very far from the others, such as 1e+06")


@pytest.mark.parametrize(
    "values",
    [
        np.repeat([0.0, 1.0, 1000.0], [60, 40, 20]),  # too many to be errors
        np.repeat([0.0, 1000.0], [99, 1]),  # without a range there is nothing to be far from
        np.random.default_rng(0).lognormal(0.0, 1.5, 500),
        np.random.default_rng(0).standard_cauchy(200),
    ],
)
def test_distributions_with_long_tails_are_scaled_as_they_are(values: NDArray[np.float64]) -> None:
    preprocessor, notes = fit_preprocessor(Table({"x": values}), np.arange(len(values)))
    assert preprocessor.numbers.mean[0] == pytest.approx(values.mean())
    assert preprocessor.numbers.scale[0] == pytest.approx(values.std())
    assert not notes


@pytest.mark.parametrize("spelt", ["TRUE FALSE", "true false", " True  False ", "1 0"])
def test_truth_values_are_known_however_a_file_spells_them(spelt: str) -> None:
    flags = np.array(["True", "False", None, "True", "False", None], dtype=object)
    levels = fit_preprocessor(Table({"flag": flags}), np.arange(6))[0].texts[0]
    yes, no = spelt.split()
    one_hot, unseen = levels.transform(np.array([yes, no, None, "maybe"], dtype=object))
    np.testing.assert_array_equal(one_hot, [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert unseen == {"maybe": 1}


def test_texts_that_are_more_than_truth_values_stay_as_they_are_spelt() -> None:
    answers = np.array(["true", "TRUE", "no", "true", "TRUE", "no"], dtype=object)
    levels = fit_preprocessor(Table({"answer": answers}), np.arange(6))[0].texts[0]
    assert levels.levels == ("TRUE", "no", "true")
    assert levels.transform(np.array(["True"], dtype=object))[1] == {"True": 1}


def test_numbers_far_from_those_trained_on_are_told_in_one_sentence() -> None:
    trained = Table({"year": np.linspace(1900.0, 2000.0, N), "rooms": np.arange(float(N))})
    preprocessor, _ = fit_preprocessor(trained, ROWS)
    _, notes = preprocessor.transform(trained)
    assert notes == ()
    _, notes = preprocessor.transform(Table({"year": np.array([-7305.0, np.nan]), "rooms": np.array([3.0, 1e6])}))
    assert len(notes) == 1
    assert "column 'year' and 1 more: values such as -7305 lie more than 10 standard deviations" in notes[0]
    _, notes = preprocessor.transform(Table({"year": np.array([np.nan]), "rooms": np.array([1e6])}))
    assert notes[0].startswith("column 'rooms': values such as 1e+06 lie")
