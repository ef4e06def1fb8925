"""How much candidates are wanted by past tasks and the new task's values, against the closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from automl.observations import Candidate, Observations
from automl.proposers.transfer_acquisition import TransferAcquisition
from automl.proposers.transfer_knowledge import Knowledge
from automl.surrogates.transfer_gp import Inputs, fit_transfer_gp

Floats = NDArray[np.float64]


def candidates(*places: float) -> tuple[Candidate, ...]:
    return tuple(Candidate(None, {"x": x}) for x in places)


class Foresight:
    """Past tasks that foresee a slope, and differ by where it begins."""

    def inputs(self, asked: Sequence[Candidate]) -> Inputs:
        x = np.array([float(candidate.hyperparameters["x"]) for candidate in asked])
        return Inputs(x[:, None], x - 0.5, np.full((len(x), 1), 0.1))


KNOWLEDGE = cast(Knowledge, Foresight())
ASKED = candidates(0.05, 0.3, 0.5, 0.8, 1.0)
OBSERVED = Observations(candidates(0.0, 0.4, 0.6, 0.9), np.array([3.0, 1.0, 1.5, 7.0]))


def wanted(observations: Observations, pending: Sequence[Candidate], with_values: bool = True) -> Floats:
    inputs = KNOWLEDGE.inputs(observations.candidates)
    fitted = fit_transfer_gp(inputs, observations.values[:, 0], (0,)) if with_values else None
    acquisition = TransferAcquisition(KNOWLEDGE, fitted, observations, pending, np.random.default_rng(0))
    return acquisition(ASKED)


@pytest.mark.parametrize("pending", [(), candidates(0.3)], ids=["nothing in progress", "one in progress"])
def test_it_is_expected_improvement_on_what_the_model_expects_of_the_best_observed(
    pending: tuple[Candidate, ...],
) -> None:
    fitted = fit_transfer_gp(KNOWLEDGE.inputs(OBSERVED.candidates), OBSERVED.values[:, 0], (0,))
    best = fitted.predict(KNOWLEDGE.inputs(OBSERVED.candidates))[0].min()
    mean, variance = fitted.hallucinated(KNOWLEDGE.inputs(pending)).predict(KNOWLEDGE.inputs(ASKED))
    deviation = np.sqrt(variance)
    z = (best - mean) / deviation
    expected = deviation * (z * norm.cdf(z) + norm.pdf(z)) / fitted.unit
    np.testing.assert_allclose(np.exp(wanted(OBSERVED, pending)), expected, rtol=1e-4, atol=1e-12)


def test_a_candidate_in_progress_is_wanted_less() -> None:
    assert wanted(OBSERVED, candidates(0.3))[1] < wanted(OBSERVED, ())[1]


def test_before_the_first_value_what_is_foreseen_decides() -> None:
    np.testing.assert_allclose(wanted(Observations(), (), with_values=False), [0.45, 0.2, 0.0, -0.3, -0.5])
