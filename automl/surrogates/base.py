"""Surrogate: what learns the value of candidates from observations, and says how sure it is.

A surrogate predicts scores, not values: a scale of its own on which smaller is better and no known value goes before a
better one, since what proposers need is the order of candidates and the odds of an improvement. Values that are far
worse than most may have the same score (`automl.scales.comparable`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate, Observations


@dataclass(frozen=True)
class Prediction:
    """What a surrogate says of n candidates.

    Args:
        mean: Expected scores, `n`; smaller is better.
        deviation: Standard deviations of the noise-free scores, `n`; positive.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


@runtime_checkable
class FittedSurrogate(Protocol):
    """What `Surrogate.fit` returns."""

    def predict(self, candidates: Sequence[Candidate]) -> Prediction:
        """The scores of candidates, each as it would be if it were asked about alone."""


@runtime_checkable
class Surrogate(Protocol):
    """Learns from observations.

    What must hold (`tests/contracts/surrogate.py`):
    - The prediction is a function of the observations and the candidate alone: neither earlier fits nor the company in
      which a candidate is asked about change it.
    - It works from one observation on and with constant values.
    - Means are finite, deviations positive, and smaller near what has been observed than far from it.
    """

    def fit(self, observations: Observations) -> FittedSurrogate:
        """Learns from the values and candidates of `observations`.

        Raises:
            ValueError: If there is no value, or there are several objectives and the surrogate takes one.
        """
