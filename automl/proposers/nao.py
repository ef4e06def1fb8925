"""NAO: candidates found by gradient steps in a learnt continuous space (Luo et al. 2018; SemiNAS, Luo et al. 2020).

For a proposal the best observed candidates are encoded, their latent outputs moved down the gradient of the predicted
loss with growing step sizes, and decoded; the best of what comes out is stepped from again. Where the steps yield too
few new candidates, mutants of the same seeds fill the pool, which the proposal's notes say. The ensemble of predictors
then chooses from the pool by an acquisition function.

The model is a function of the first k observations, k growing on a fixed schedule: it starts from the parameters that
were fitted to the first n_startup 2^i of them, and these from the ones before. So any instance can replay any proposal
at the cost of a logarithmic number of fits. The pool, too, is a function of the observations: it is searched for anew
where the model was fitted anew or a better value was seen, and proposals are drawn from it in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.acquisition import Acquisition, acquisition_values, check_acquisition
from automl.field_checks import check_counts, check_kinds
from automl.observations import Candidate, Observations
from automl.proposers.base import Proposal
from automl.proposers.pool import check_request, first_proposal, startup
from automl.scales import normal_scores
from automl.spaces.base import Space
from automl.surrogates.gaussian_pool import GaussianPool
from automl.surrogates.nao import NAOModel, NAOSettings, pretrain

_MODELS_KEPT = 64
_GROWTH = 10  # observations grow by a tenth between fits once that is more than `refit_every`


@dataclass(frozen=True)
class LatentSearch:
    """How a model is searched for new candidates.

    Args:
        n_seeds: Observed candidates to step from: half of them the best by value, half by prediction.
        step_sizes: Lengths of the latent steps, growing.
        n_rounds: Rounds of steps; each but the first begins at the best of what the one before found.
        n_wanted: New candidates that a round should add on the mean; where all so far fell short, mutants are added.
        beam_width: Decodings of each latent point; 1 is greedy decoding.
        latent: Whether latent steps are made; without, mutants alone are compared (an ablation).
    """

    n_seeds: int = 20
    step_sizes: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    n_rounds: int = 3
    n_wanted: int = 40
    beam_width: int = 1
    latent: bool = True

    def __post_init__(self) -> None:
        check_counts(self, "n_seeds", "n_rounds", "n_wanted", "beam_width")
        if not self.step_sizes or min(self.step_sizes) <= 0 or list(self.step_sizes) != sorted(self.step_sizes):
            raise ValueError(f"got the step sizes {self.step_sizes}, expected positive ones in growing order.")


@dataclass(frozen=True)
class Found:
    """A new candidate and how it was found: "latent" or "mutation", from which seed, in which round, by which step."""

    candidate: Candidate
    origin: str
    seed: Candidate
    round: int = 0
    step_size: float = 0.0


class NewCandidates:
    """Candidates not seen before, each once, and how many were offered that were not new.

    Args:
        seen: Digests that are not new.
    """

    def __init__(self, seen: AbstractSet[str]) -> None:
        self._seen = seen
        self._found: dict[str, Found] = {}
        self.n_duplicates = 0

    def __len__(self) -> int:
        return len(self._found)

    def offer(self, found: Found) -> None:
        """Takes a candidate if it is new."""
        digest = found.candidate.digest
        if digest in self._seen or digest in self._found:
            self.n_duplicates += 1
        else:
            self._found[digest] = found

    def listed(self, start: int = 0) -> list[Found]:
        """What was found, in that order, from number `start` on."""
        return list(self._found.values())[start:]


def search_latent_space(
    model: NAOModel,
    seeds: Sequence[Candidate],
    seen: AbstractSet[str],
    search: LatentSearch,
    generator: np.random.Generator,
) -> NewCandidates:
    """New candidates around the seeds: by latent steps and, where these find fewer than wanted, by mutation.

    Args:
        model: Whose predictions are improved; each step follows one of its heads, drawn at random.
        seeds: Where to begin.
        seen: Digests of candidates that are not new.
        search: How to search.
        generator: Draws heads and mutants.
    """
    new = NewCandidates(seen)
    starts = list(seeds)
    for round_ in range(search.n_rounds):
        before = len(new)
        if search.latent:
            _latent_round(model, starts, new, search, round_, generator)
        _mutate(model, starts, new, (round_ + 1) * search.n_wanted, round_, generator)
        fresh = [found.candidate for found in new.listed(before)]
        if not fresh:
            break
        starts = _best(model, fresh, search.n_seeds)
    return new


def _latent_round(
    model: NAOModel,
    starts: Sequence[Candidate],
    new: NewCandidates,
    search: LatentSearch,
    round_: int,
    generator: np.random.Generator,
) -> None:
    sequences = [model.vocabulary.encode(candidate) for candidate in starts]
    heads = generator.integers(model.settings.n_heads, size=len(starts)).tolist()
    rows = model.improve(sequences, search.step_sizes, heads=heads, beam_width=search.beam_width)
    for i, decoded in enumerate(rows):
        size, start = search.step_sizes[i // len(starts)], starts[i % len(starts)]
        for candidate in decoded:
            new.offer(Found(candidate, "latent", start, round_, size))


def _mutate(
    model: NAOModel,
    starts: Sequence[Candidate],
    new: NewCandidates,
    n_wanted: int,
    round_: int,
    generator: np.random.Generator,
) -> None:
    """Mutants of random starts until so many are found, or three times as many tries were made."""
    for _ in range(3 * (n_wanted - len(new))):
        if len(new) >= n_wanted:
            return
        start = starts[int(generator.integers(len(starts)))]
        new.offer(Found(model.vocabulary.space.mutate(start, generator), "mutation", start, round_))


def _best(model: NAOModel, candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The n candidates of lowest mean prediction."""
    order = model.predict(candidates).mean.argsort(kind="stable")
    return [candidates[i] for i in order[:n]]


@dataclass(frozen=True)
class NAOProposer:
    """Proposes what latent steps from the best observed candidates decode to, chosen by an acquisition function.

    Args:
        space: The space to search.
        n_startup: Number of known values before the model is asked; until then proposals are the space's
            simple networks and random ones. By default one more than there are simple networks, or ten where there are
            none.
        refit_every: Number of further values after which the model is fitted again, or a tenth of those it was fitted
            to where that is more.
        acquisition: "log-ei", "ei", "ucb", "thompson" or "ttei", of the ensemble's mean and covariance.
        search: How new candidates are looked for.
        settings: The model's.

    Raises:
        ValueError: If `n_startup` or `refit_every` is below 1, or the acquisition function is unknown.
    """

    space: Space
    n_startup: int | None = None
    refit_every: int = 5
    acquisition: Acquisition = "log-ei"
    search: LatentSearch = field(default_factory=LatentSearch)
    settings: NAOSettings = field(default_factory=NAOSettings)

    def __post_init__(self) -> None:
        check_acquisition(self.acquisition)
        check_counts(self, "n_startup", "refit_every")
        check_kinds(self, search=LatentSearch, settings=NAOSettings)

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """
        check_request(observations, n, generator)
        seen = set(observations.digests)
        proposals: list[Proposal] = []
        if len(observations) >= self._n_startup:
            proposals = self._modelled(observations, n, seen, generator)
        seen |= {proposal.candidate.digest for proposal in proposals}
        while len(proposals) < n:
            proposals.append(first_proposal(self.space, seen, generator))
            seen.add(proposals[-1].candidate.digest)
        return proposals

    def model(self, observations: Observations) -> NAOModel:
        """The model that proposals are made with at these observations; at least one value must be known."""
        return self._fitted(observations, self._fitted_size(len(observations)))

    def _fitted_size(self, n: int) -> int:
        """How many of `n` observations the model is fitted to."""
        size = min(self._n_startup, n)
        while n >= (later := size + max(self.refit_every, size // _GROWTH)):
            size = later
        return size

    def _fitted(self, observations: Observations, k: int) -> NAOModel:
        """The model of the first k observations, fitted on from the model of some n_startup 2^i < k of them."""
        key = _digest(observations, k)
        model = self._models.get(key)
        if model is None:
            base = self._base_size(k)
            start = self._fitted(observations, base) if base else pretrain(self.space, self.settings)
            model = start.refine(observations.candidates[:k], observations.values[:k, 0])
            if len(self._models) >= _MODELS_KEPT:
                self._models.clear()
            self._models[key] = model
        return model

    def _base_size(self, k: int) -> int:
        """The largest n_startup 2^i below k; 0 if there is none."""
        size = self._n_startup
        while 2 * size < k:
            size *= 2
        return size if size < k else 0

    @cached_property
    def _n_startup(self) -> int:
        return startup(self.space, self.n_startup)

    @cached_property
    def _models(self) -> dict[str, NAOModel]:
        return {}

    def candidates(self, observations: Observations) -> NewCandidates:
        """The pool that proposals are drawn from: what latent steps and, if need be, mutations found lately.

        Args:
            observations: At least one value; those since the pool was searched for may be in it.
        """
        size = self._fitted_size(len(observations))
        known = observations.first(max(size, int(observations.values[:, 0].argmin()) + 1))
        digest = _digest(known, len(known))
        pool = self._pools.get((size, digest))
        if pool is None:
            model = self.model(observations)
            seeds, generator = self._seeds(model, known), np.random.default_rng(int(digest[:16], 16))
            pool = search_latent_space(model, seeds, known.digests, self.search, generator)
            self._pools.clear()
            self._pools[size, digest] = pool
        return pool

    @cached_property
    def _pools(self) -> dict[tuple[int, str], NewCandidates]:
        return {}

    def _modelled(
        self, observations: Observations, n: int, seen: AbstractSet[str], generator: np.random.Generator
    ) -> list[Proposal]:
        """Up to n proposals from the pool, fewer where the pool has fewer."""
        new = self.candidates(observations)
        pool = [found for found in new.listed() if found.candidate.digest not in seen]
        if not pool:
            return []
        chosen = self._chosen(self.model(observations), pool, observations, n, generator)
        counts = {"n_new": len(pool), "n_duplicates": new.n_duplicates}
        counts["n_mutants"] = sum(found.origin == "mutation" for found in pool)
        return [Proposal(pool[i].candidate, _notes(pool[i], facts) | counts) for i, facts in chosen]

    def _seeds(self, model: NAOModel, observations: Observations) -> list[Candidate]:
        by_value = observations.values[:, 0].argsort(kind="stable")[: (self.search.n_seeds + 1) // 2]
        best = [observations.candidates[i] for i in by_value]
        predicted = _best(model, observations.candidates, self.search.n_seeds)
        return list({candidate.digest: candidate for candidate in (*best, *predicted)}.values())[: self.search.n_seeds]

    def _chosen(
        self, model: NAOModel, pool: Sequence[Found], observations: Observations, n: int, generator: np.random.Generator
    ) -> list[tuple[int, dict[str, Any]]]:
        """Indices into the pool, and what spoke for each.

        Improvement is that of a value, the residual included, over the best one. Candidates that are pending, chosen,
        or too new for the model count as observed at their means.
        """
        size = self._fitted_size(len(observations))
        late = observations.candidates[size:]
        everyone = (*(found.candidate for found in pool), *observations.pending, *late)
        taken = list(range(len(pool), len(everyone)))
        gaussian = _ensemble_pool(model.head_predictions(everyone), model.residual)
        incumbent = float(normal_scores(observations.values[:size, 0]).min())
        chosen: list[tuple[int, dict[str, Any]]] = []
        for _ in range(min(n, len(pool))):
            imagined = gaussian.hallucinated(taken).with_residuals()
            values = acquisition_values(self.acquisition, imagined, incumbent, len(observations), generator)
            values[taken] = -torch.inf
            best = int(values.argmax())
            facts = {"acquisition": self.acquisition, "acquisition_value": float(values[best])}
            facts["predicted_score"] = float(imagined.mean[best])
            chosen.append((best, facts | {"score_deviation": float(imagined.variance[best].sqrt())}))
            taken.append(best)
        return chosen


def _ensemble_pool(predictions: NDArray[np.float64], residual: float) -> GaussianPool:
    """A Gaussian with mean and covariance of the heads' predictions, an `M x N` array, and residuals around it."""
    scores = torch.from_numpy(predictions)
    mean = scores.mean(dim=0)
    centred = (scores - mean) / max(len(scores) - 1, 1) ** 0.5

    def covariance(rows: Tensor, columns: Tensor) -> Tensor:
        block: Tensor = centred[:, rows].T @ centred[:, columns]
        return block

    return GaussianPool(mean, centred.square().sum(dim=0), covariance, residual)


def _notes(found: Found, facts: dict[str, Any]) -> dict[str, Any]:
    notes: dict[str, Any] = {"origin": found.origin, "seed": found.seed.digest, "round": found.round, **facts}
    if found.origin == "latent":
        notes["step_size"] = found.step_size
    return notes


def _digest(observations: Observations, k: int) -> str:
    """Hexadecimal digest of the first k observations, in their order."""
    text = hashlib.sha256()
    for candidate, value in zip(observations.candidates[:k], observations.values[:k, 0], strict=True):
        text.update(candidate.digest.encode())
        text.update(value.tobytes())
    return text.hexdigest()
