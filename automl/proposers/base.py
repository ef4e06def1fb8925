"""Proposer: what answers "which candidates next?" from observations alone.

Proposers know no Optuna, no storage and no training; `studies.proposer_sampler` turns any of them into an Optuna
sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate, Observations
from automl.spaces.base import Space


@dataclass(frozen=True)
class Proposal:
    """A candidate and what people may want to know of how it came about.

    Args:
        candidate: What to evaluate next.
        notes: JSON-ready facts such as the acquisition value, a fallback that was taken, or the model that was trusted;
            `studies` stores them with the trial.
    """

    candidate: Candidate
    notes: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Proposer(Protocol):
    """Proposes candidates of one space.

    What must hold (`tests/contracts/proposer.py`):
    - The answer depends on the observations and the generator alone: a fresh instance proposes the same. Caches are
      by content.
    - No proposal repeats a candidate of the observations, pending and failed ones included, nor another of the same
      call, for as long as the space has others and random draws find them, which hundreds may not where few of many
      are left; where values are noisy, `automl.proposers.replication` may repeat observed ones.
    - It works from zero observations on, with constant values, and with more failures than values.

    Proposers change as they are used: of several threads one at a time may ask.
    """

    @property
    def space(self) -> Space:
        """The space whose candidates it proposes."""

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The `n` candidates to evaluate next, the most wanted first.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives and the proposer takes one.
        """


@runtime_checkable
class ForetellingProposer(Proposer, Protocol):
    """A proposer whose own model past tasks are held against: which of both foretells the values better?"""

    def scores(self, observations: Observations) -> NDArray[np.float64]:
        """What its model makes of the values before it learns from them, `n`."""

    def leave_one_out_log_density(self, observations: Observations) -> NDArray[np.float64]:
        """Log density of each score given all the others under its model, `n`."""
