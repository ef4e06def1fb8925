"""NASBOT and NAO together: their candidates meet in one pool, under one acquisition function of both models.

NASBOT's Gaussian process (Kandasamy et al. 2018) compares networks by distances that are known beforehand, NAO's
network (Luo et al. 2018) by what it has learnt; both predict normal scores of the same values. Each brings the
candidates that it finds, and the pool is judged by the equal mixture of the two predictions: its mean is their mean,
its variance the mean of theirs plus a quarter of their squared disagreement. The notes say who brought the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from automl.acquisition import Acquisition, acquisition_values, check_acquisition
from automl.field_checks import check_counts
from automl.observations import Candidate, Observations
from automl.proposers.base import Proposal
from automl.proposers.nao import NAOProposer
from automl.proposers.nasbot import NASBOTProposer
from automl.proposers.pool import check_request, first_proposal, startup
from automl.spaces.base import Space
from automl.surrogates.base import Prediction
from automl.surrogates.gaussian_pool import GaussianPool, independent_pool


@dataclass(frozen=True)
class CombinedProposer:
    """Proposes the candidate of largest acquisition value among those that NASBOT and NAO bring.

    Args:
        space: The space to search.
        n_startup: Number of known values before the models are asked; until then proposals are the space's
            simple networks and random ones. By default one more than there are simple networks, or ten where there are
            none.
        n_from_nasbot: Number of NASBOT's own proposals that enter the pool; all of NAO's do.
        acquisition: "log-ei", "ei", "ucb", "thompson" or "ttei", of the mixture.
        nasbot: Brings candidates and the Gaussian process, which must model normal scores, as the network does; made
            with the same acquisition function, else with its defaults, where None.
        nao: Brings candidates and the network; made with its defaults where None.

    Raises:
        ValueError: If `n_startup` or `n_from_nasbot` is below 1, the acquisition function is unknown, or the Gaussian
            process models other scores than the network.
    """

    space: Space
    n_startup: int | None = None
    n_from_nasbot: int = 3
    acquisition: Acquisition = "log-ei"
    nasbot: NASBOTProposer | None = None
    nao: NAOProposer | None = None

    def __post_init__(self) -> None:
        check_acquisition(self.acquisition)
        check_counts(self, "n_startup", "n_from_nasbot")
        scores = "normal" if self.nasbot is None else self.nasbot.surrogate.settings.scores
        if scores != "normal":
            raise ValueError(
                f"got a Gaussian process of {scores!r} scores, expected 'normal' ones, as the network predicts them; "
                "give NASBOTProposer ArchitectureGPSettings(scores='normal')."
            )

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """
        check_request(observations, n, generator)
        proposals: list[Proposal] = []
        for _ in range(n):
            known = observations.with_pending(proposal.candidate for proposal in proposals)
            proposals.append(self._next(known, generator))
        return proposals

    def incumbent(self, observations: Observations) -> Candidate | None:
        """The observed candidate that the mixture expects most of; None before the first value.

        During start-up the one with the least value.
        """
        if not len(observations):
            return None
        modelled = len(observations) >= self._n_startup
        scores = self._mixture(observations, observations.candidates).mean if modelled else observations.values[:, 0]
        return observations.candidates[int(scores.argmin())]

    def _next(self, observations: Observations, generator: np.random.Generator) -> Proposal:
        if len(observations) >= self._n_startup:
            pool = self._pool(observations, generator)
            if pool:
                return self._best(pool, observations, generator)
        return first_proposal(self.space, observations.digests, generator)

    def _pool(self, observations: Observations, generator: np.random.Generator) -> list[Proposal]:
        """New candidates with notes on who brought them."""
        seen = set(observations.digests)
        found = self._nao.candidates(observations).listed()
        brought = [(f.candidate, {"from": "nao", "origin": f.origin, "seed": f.seed.digest}) for f in found]
        for proposal in self._nasbot.propose(observations, self.n_from_nasbot, generator):
            brought.append((proposal.candidate, {"from": "nasbot", **proposal.notes}))
        pool: dict[str, Proposal] = {}
        for candidate, notes in brought:
            if candidate.digest in pool:
                pool[candidate.digest] = Proposal(candidate, {**pool[candidate.digest].notes, "from": "both"})
            elif candidate.digest not in seen:
                pool[candidate.digest] = Proposal(candidate, notes)
        return list(pool.values())

    def _best(self, pool: Sequence[Proposal], observations: Observations, generator: np.random.Generator) -> Proposal:
        gaussian, incumbent = self._judged(pool, observations)
        values = acquisition_values(self.acquisition, gaussian, incumbent, len(observations), generator)
        best = int(values.argmax())
        facts: dict[str, Any] = {"acquisition": self.acquisition, "acquisition_value": float(values[best])}
        facts["predicted_score"] = float(gaussian.mean[best])
        if fallback := self._nasbot.surrogate.fit(observations).fallback:
            facts["fallback"] = fallback  # whoever brought the winner, the process has judged it
        brought = [str(proposal.notes["from"]) for proposal in pool]
        facts["n_pool"] = {supplier: brought.count(supplier) for supplier in ("nasbot", "nao", "both")}
        return Proposal(pool[best].candidate, {**pool[best].notes, **facts})

    def _judged(self, pool: Sequence[Proposal], observations: Observations) -> tuple[GaussianPool, float]:
        """What the mixture expects of the pool, and the score to improve on; residuals count as NASBOT counts them."""
        mixture = self._mixture(observations, [proposal.candidate for proposal in pool])
        mean, variance = torch.from_numpy(mixture.mean), torch.from_numpy(mixture.deviation**2)
        if not self._nasbot.counts_residuals:
            incumbent = float(self._mixture(observations, observations.candidates).mean.min())
            return independent_pool(mean, variance), incumbent
        fitted = self._nasbot.surrogate.fit(observations)
        return independent_pool(mean, variance, fitted.prior.noise).with_residuals(), self._nasbot.best_score(fitted)

    def _mixture(self, observations: Observations, candidates: Sequence[Candidate]) -> Prediction:
        """The equal mixture of both models' predictions, by its first two moments."""
        gaussian = self._nasbot.surrogate.fit(observations).predict(candidates)
        network = self._nao.model(observations).predict(candidates)
        variance = 0.5 * (gaussian.deviation**2 + network.deviation**2) + 0.25 * (gaussian.mean - network.mean) ** 2
        return Prediction(0.5 * (gaussian.mean + network.mean), np.sqrt(variance))

    @cached_property
    def _n_startup(self) -> int:
        return startup(self.space, self.n_startup)

    @cached_property
    def _nasbot(self) -> NASBOTProposer:
        if self.nasbot is not None:
            return self.nasbot
        usual = NASBOTProposer(self.space, n_startup=self.n_startup, acquisition=self.acquisition)
        return replace(usual, gp=replace(usual.surrogate.settings, scores="normal"))

    @cached_property
    def _nao(self) -> NAOProposer:
        return self.nao or NAOProposer(self.space, n_startup=self.n_startup)
