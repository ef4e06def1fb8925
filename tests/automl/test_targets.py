"""Target codings: the way back from a network's outputs, and how classes are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from automl.data.targets import TargetCoding, fit_target
from automl.errors import InputError


def test_decoded_values_are_those_that_were_encoded() -> None:
    values = np.random.default_rng(0).normal(1000.0, 30.0, 50)
    coding = fit_target("y", values, "regression")[0].standardised(values, np.arange(40))
    encoded = np.asarray(coding.encode(values), dtype=np.float64)
    assert (encoded[:40].mean(), encoded[:40].std()) == pytest.approx((0.0, 1.0), abs=1e-5)
    np.testing.assert_allclose(coding.decode(encoded[:, None]), values, rtol=1e-6)


def test_decoded_classes_are_the_softmax_of_the_outputs_however_large() -> None:
    outputs = np.array([[0.5, -1.0, 2.0], [3e4, 0.0, -3e4], [-900.0, -901.0, -902.0]])
    coding = TargetCoding("y", "classification", ("a", "b", "c"))
    np.testing.assert_allclose(coding.decode(outputs), softmax(outputs, axis=1), rtol=1e-12)


@given(
    n_classes=st.integers(2, 6),
    n_validated=st.integers(1, 10_000),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_class_is_surer_than_the_validated_rows_vouch_for_and_the_order_stays(
    n_classes: int, n_validated: int, seed: int
) -> None:
    plain = TargetCoding("y", "classification", tuple(range(n_classes)))
    doubtful = plain.doubted(n_validated)
    outputs = np.random.default_rng(seed).normal(0.0, 3.0, (20, n_classes))
    outputs[0] = [500.0, *[0.0] * (n_classes - 1)]
    probabilities = doubtful.decode(outputs)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert probabilities[0, 0] == pytest.approx((n_validated + 1) / (n_validated + 2))
    assert probabilities.max() <= probabilities[0, 0]
    rising = np.take_along_axis(probabilities, outputs.argsort(axis=1), axis=1)
    assert (np.diff(rising, axis=1) >= 0).all()


def test_a_thousand_rows_that_were_told_right_vouch_for_as_much_as_the_rule_says_and_numbers_are_not_doubted() -> None:
    # Of all shares of faults, equally likely before, those that make no fault in n rows: the mean of the next one's.
    shares = (np.arange(200_000) + 0.5) / 200_000
    likelihood = (1 - shares) ** 1000
    expected = float((shares * likelihood).sum() / likelihood.sum())
    assert TargetCoding("y", "classification", ("a", "b")).doubted(1000).doubt == pytest.approx(expected, rel=1e-5)
    numbers = TargetCoding("y", "regression")
    assert numbers.doubted(1000) == numbers


@pytest.mark.parametrize(
    ("column", "classes"),
    [
        (np.array([33.0, 4.0, 10.0, -2.0, 4.0]), (-2, 4, 10, 33)),
        (np.array(["no", "yes", "no", "maybe"], dtype=object), ("maybe", "no", "yes")),
        (np.array([2.5, -0.5, 10.5, 2.5]), ("-0.5", "2.5", "10.5")),
    ],
)
def test_classes_are_sorted_and_their_labels_are_the_users_own(
    column: NDArray[Any], classes: tuple[str | int, ...]
) -> None:
    coding, _ = fit_target("y", column, "classification")
    assert coding.classes == classes
    codes = coding.encode(column)
    labels = coding.labels(np.eye(len(classes))[codes])
    assert [str(label) for label in labels] == [str(classes[code]) for code in codes]


def test_a_target_with_gaps_is_refused() -> None:
    for column in (np.array([1.0, np.nan, 2.0]), np.array(["a", None, "b"], dtype=object)):
        with pytest.raises(InputError, match="target 'y' is missing in 1 of 3 rows"):
            fit_target("y", column, None)
