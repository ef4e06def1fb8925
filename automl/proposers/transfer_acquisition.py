"""How much candidates are wanted by what past tasks foresee and the new task's values confirm.

Expected improvement under `automl.surrogates.transfer_gp` once there are values, on what the model expects of the best
observed candidate; before that what past tasks think best, and for those that are asked at the same time what
complements the candidates in progress (`automl.portfolio`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from automl.acquisition import acquisition_values
from automl.observations import Candidate, Observations
from automl.portfolio import greedy_portfolio
from automl.proposers.transfer_knowledge import Knowledge
from automl.surrogates.gaussian_pool import independent_pool
from automl.surrogates.transfer_gp import Inputs, TransferGP

Floats = NDArray[np.float64]


class TransferAcquisition:
    """How much candidates are wanted, larger is more.

    Args:
        knowledge: What past tasks know.
        fitted: The model of the new task's values; None before the first.
        observations: Those values.
        pending: Candidates in progress.
        generator: Source of all draws.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        fitted: TransferGP | None,
        observations: Observations,
        pending: Sequence[Candidate],
        generator: np.random.Generator,
    ) -> None:
        self._knowledge = knowledge
        self._n_observed = len(observations)
        self._generator = generator
        self._pending = knowledge.inputs(pending) if pending else None
        self._fitted = fitted if fitted is None or self._pending is None else fitted.hallucinated(self._pending)
        if fitted is not None:
            self._incumbent = float(fitted.predict(knowledge.inputs(observations.candidates))[0].min())

    def __call__(self, candidates: Sequence[Candidate]) -> Floats:
        return self.of(self._knowledge.inputs(candidates))

    def of(self, inputs: Inputs) -> Floats:
        """The values of candidates given as inputs, larger is more wanted."""
        if self._fitted is not None:
            return self._expected_improvement(inputs)
        if self._pending is None:
            return -inputs.mean
        return self._complement(inputs)

    def _expected_improvement(self, inputs: Inputs) -> Floats:
        assert self._fitted is not None, "asked after the first value alone"
        mean, variance = (torch.from_numpy(part) for part in self._fitted.predict(inputs))
        unit = self._fitted.unit
        pool = independent_pool((mean - self._incumbent) / unit, variance / unit**2)
        values = acquisition_values("log-ei", pool, 0.0, self._n_observed, self._generator)
        return np.asarray(values.numpy(), dtype=np.float64)

    def _complement(self, inputs: Inputs) -> Floats:
        """Places in the greedy portfolio that goes on from the pending candidates."""
        assert self._pending is not None, "asked with pending candidates alone"
        both = self._pending.followed_by(inputs)
        tried = range(len(self._pending))
        first = greedy_portfolio(self._knowledge.prior.task_means(both.features).T, 1, tried)
        values = -inputs.mean
        values[[place - len(tried) for place in first]] = np.inf
        return values
