"""Replication: where values change from one evaluation to the next, known candidates are proposed again.

NASBOT learns from the mean of each candidate's values. What its Gaussian process leaves unexplained is split in two:
chance, by how far the values of single candidates lie apart, and what a candidate is worth beyond the kernel. The next
evaluation goes where it is expected to lower the least believed score most, be the candidate a new one or a known one:
the knowledge gradient of independent beliefs (Frazier, Powell and Dayanik 2008, "A knowledge-gradient policy for
sequential information collection"; Binois et al. 2019, "Replication or exploration?"). Without chance that is expected
improvement for new candidates and nothing for known ones.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.acquisition import log_knowledge_gradient
from automl.field_checks import check_kinds
from automl.observations import Candidate, Observations
from automl.proposers.base import Proposal
from automl.proposers.nasbot import Ask, NASBOTProposer
from automl.proposers.pool import check_request
from automl.spaces.base import Space
from automl.surrogates.architecture_gp import FittedArchitectureGP

_FEWEST_TO_COMPARE = 2
_PRIOR_DIFFERENCES = 5.0  # As many as it takes of those seen to outweigh the guess that all the noise is chance.
_LEAST_RESIDUAL = 0.1  # of the noise; a kernel explains no candidate to the last digit.


@dataclass(frozen=True, eq=False)
class Averaged:
    """Observations in which each candidate stands once.

    Args:
        observations: Each candidate, where it first came, with the mean of its values; pending and failed ones as were.
        evaluations: The single values of each, in the order of `observations.candidates`.
    """

    observations: Observations
    evaluations: tuple[NDArray[np.float64], ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many values each candidate has, `n`."""
        return np.array([len(values) for values in self.evaluations], dtype=np.int64)


def averaged(observations: Observations) -> Averaged:
    """Each candidate once, with the mean of its values of the one objective."""
    values: dict[str, list[float]] = {}
    candidates: dict[str, Candidate] = {}
    for candidate, value in zip(observations.candidates, observations.values[:, 0], strict=True):
        candidates.setdefault(candidate.digest, candidate)
        values.setdefault(candidate.digest, []).append(float(value))
    evaluations = tuple(np.array(several) for several in values.values())
    means = np.array([several.mean() for several in evaluations]).reshape(-1, 1)
    known = Observations(tuple(candidates.values()), means, observations.pending, observations.failed)
    return Averaged(known, evaluations)


@dataclass(frozen=True)
class Noise:
    """What the kernel leaves unexplained, in two parts.

    Args:
        residual: Variance of what a candidate is worth beyond its kernel, the same at every evaluation.
        chance: Variance of what differs from one evaluation of a candidate to the next.
    """

    residual: float
    chance: float


def split_noise(noise: float, known: Averaged, scores: NDArray[np.float64]) -> Noise:
    """The two parts of a fitted noise variance, by how far the values of single candidates lie apart.

    The variance of chance has a scaled inverse chi-squared prior around the whole noise; its scale given the values is
    taken (Gelman et al. 2013, "Bayesian Data Analysis", section 2.6). Single values become scores as the means do,
    between those by interpolation.

    Args:
        noise: Variance of the noise of the candidates' mean scores.
        known: The candidates and their values.
        scores: The scores of their means, `n`.
    """
    means = known.observations.values[:, 0]
    order = np.argsort(means, kind="stable")
    squares, differences = 0.0, 0
    for values in known.evaluations:
        single = np.interp(values, means[order], scores[order])
        squares += float(np.square(single - single.mean()).sum())
        differences += len(values) - 1
    chance = (squares + _PRIOR_DIFFERENCES * noise) / (differences + _PRIOR_DIFFERENCES)
    explained = chance * float((1 / known.counts).mean())
    return Noise(max(noise - explained, _LEAST_RESIDUAL * noise), chance)


@dataclass(frozen=True)
class ReplicatingProposer:
    """NASBOT for noisy objectives: proposes new candidates and, where that tells more, known ones again.

    Args:
        nasbot: Says which new candidate it wants, and whose Gaussian process judges the known ones.

    Raises:
        ValueError: If it is no NASBOTProposer.
    """

    nasbot: NASBOTProposer

    def __post_init__(self) -> None:
        check_kinds(self, nasbot=NASBOTProposer)

    @property
    def space(self) -> Space:
        """The space whose candidates it proposes."""
        return self.nasbot.space

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`; among them may be known ones.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """
        check_request(observations, n, generator)
        known = averaged(observations)
        if not self._has_model(known):
            return self.nasbot.propose(known.observations, n, generator)
        beliefs = self._beliefs(known)
        ask = Ask(
            self.nasbot.acquisition, True, beliefs.fitted.incumbent, len(known.counts), generator, beliefs.noise.chance
        )
        search = self.nasbot.search(beliefs.fitted, ask, known.observations)
        seen = set(known.observations.digests)
        gains = beliefs.gains(busy={candidate.digest for candidate in observations.pending})
        proposals = []
        for _ in range(n):
            new = search.best(seen)
            place = int(gains.argmax())
            if new is not None and gains[place] <= self._promise(ask, beliefs.fitted, new.candidate):
                proposals.append(Proposal(new.candidate, self.nasbot.notes(new, beliefs.fitted)))
                seen.add(new.candidate.digest)
                search.take(new)
            else:
                proposals.append(self._again(known, place, float(gains[place]), beliefs.fitted))
                gains[place] = -np.inf
        return proposals

    def incumbent(self, observations: Observations) -> Candidate | None:
        """The observed candidate that is worth most by all its values and what the kernel makes of the others'.

        None before the first value; during start-up the one with the least mean.
        """
        known = averaged(observations)
        if not self._has_model(known):
            return self.nasbot.incumbent(known.observations)
        return known.observations.candidates[int(self._beliefs(known).fitted.fitted_scores.argmin())]

    def _has_model(self, known: Averaged) -> bool:
        return len(known.observations) >= max(self.nasbot.n_before_model, _FEWEST_TO_COMPARE)

    def _beliefs(self, known: Averaged) -> _Beliefs:
        fitted = self.nasbot.surrogate.fit(known.observations)
        noise = split_noise(fitted.prior.noise, known, fitted.scores.numpy())
        return _Beliefs(fitted.split(noise.residual, noise.chance / known.counts), noise)

    def _promise(self, ask: Ask, fitted: FittedArchitectureGP, new: Candidate) -> float:
        """Logarithm of what is to be gained by a new candidate, whichever acquisition function found it."""
        return float(replace(ask, kind="log-ei").values(fitted.pool(fitted.gp.pool_of([new])))[0])

    def _again(self, known: Averaged, place: int, log_gain: float, fitted: FittedArchitectureGP) -> Proposal:
        notes: dict[str, Any] = {"origin": "known", "evaluations": len(known.evaluations[place])}
        notes |= {"log_gain": log_gain} if np.isfinite(log_gain) else {}  # of a busy one: there was no other
        return Proposal(
            known.observations.candidates[place], notes | ({"fallback": fitted.fallback} if fitted.fallback else {})
        )


@dataclass(frozen=True, eq=False)
class _Beliefs:
    """What candidates are believed to be worth, chance set apart."""

    fitted: FittedArchitectureGP
    noise: Noise

    def gains(self, busy: Set[str]) -> NDArray[np.float64]:
        """Logarithm of what is to be gained by another value of each observed candidate; -inf for the busy ones."""
        mean, deviation = self.fitted.fitted_scores.numpy(), self.fitted.fitted_deviations.numpy()
        gains = log_knowledge_gradient(mean, deviation, self.noise.chance)
        gains[[candidate.digest in busy for candidate in self.fitted.observed.candidates]] = -np.inf
        return gains
