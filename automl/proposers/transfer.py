"""TransferProposer: starts a new task from what past ones know, and stops believing them where they mislead.

Before the first value it proposes the candidate that past tasks expect to be best; then the one of largest expected
improvement under `automl.surrogates.transfer_gp`. It compares all candidates of a listed space; in other spaces random
ones, edits of the best known ones, and the sources' own best.

From the fifth value on the guard (`automl.transfer_guard`) draws who proposes: that model, or the plain proposer, which
knows no other task. On networks the sources must also foretell the values better than the plain proposer's own model,
where it has one. Sources that hardly foretell one another share the first trials with the plain proposer, and after a
few times as many trials as the sources had, the plain proposer goes on alone. Where one with a model of its own begins
with simple cells of a listed space, these come before what any source proposes, and then the sources must foretell the
values clearly better: there it soon knows what other tasks could tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate, Observations
from automl.proposers.base import ForetellingProposer, Proposal, Proposer
from automl.proposers.nasbot import NASBOTProposer
from automl.proposers.pool import check_request
from automl.proposers.transfer_acquisition import TransferAcquisition
from automl.proposers.transfer_decision import Decision, as_source_tasks
from automl.proposers.transfer_knowledge import Knowledge, SourceSettings, learn, usable
from automl.proposers.transfer_pool import Listing, TransferPoolSettings, best_observed, sampled_best, sources_best
from automl.scales import comparable
from automl.spaces.base import Space
from automl.surrogates.transfer_gp import Inputs, TransferGP, fit_transfer_gp
from automl.surrogates.transfer_prior import TransferPriorSettings
from automl.transfer_features import SourceTask, thinned_rows
from automl.transfer_guard import (
    CHECKPOINTS,
    CLEARLY,
    MIRRORED_FROM,
    clearly_against,
    contradicting,
    largest_weight,
    leads,
    mirror_is_likelier,
    prior_log_odds,
    reached,
    transfer_weight,
)

_CLEARLY_BETTER = 0.99  # weight from which on sources are asked in a search that began with simple cells

Floats = NDArray[np.float64]
_Test = tuple[Knowledge, tuple[str, ...], bytes]
"""What is known, and the candidates and values that it is put to the test with."""


@dataclass(frozen=True)
class TransferSettings:
    """How sources are used.

    Args:
        sources: Which of them, and how much of each.
        prior: How they make a prior.
        pool: Where the next candidate is looked for.
        guard: Whether past tasks must prove themselves on the target's own trials.
        least_foresight: Correlation with which sources must foretell one another to have the first word.
        trusted_base: Weight of the plain proposer from which on it is asked without a draw.
        budgets: The plain proposer alone goes on after that many times the sources' median number of evaluations.
        fitted_at_most: Target evaluations that the model is conditioned on.
        seed: Seed of the networks' initial weights.
    """

    sources: SourceSettings = field(default_factory=SourceSettings)
    prior: TransferPriorSettings = field(default_factory=TransferPriorSettings)
    pool: TransferPoolSettings = field(default_factory=TransferPoolSettings)
    guard: bool = True
    least_foresight: float = 0.1
    trusted_base: float = 0.9
    budgets: float = 3.0
    fitted_at_most: int = 300
    seed: int = 0


@dataclass(frozen=True, eq=False)
class TransferProposer:
    """Proposes what past tasks suggest for as long as they help, and leaves the rest to a plain proposer.

    Args:
        space: The space to search.
        sources: Finished evaluations of past tasks, of this or other spaces; or observations by the task's name.
        base: The plain proposer, of the same space; NASBOT by default.
        settings: How sources are used.
    """

    space: Space
    sources: Sequence[SourceTask] | Mapping[str, Observations]
    base: Proposer | None = None
    settings: TransferSettings = field(default_factory=TransferSettings)
    _tests: dict[_Test, tuple[Knowledge, tuple[str, ...]]] = field(default_factory=dict, repr=False)
    _lessened: dict[tuple[SourceTask, ...], Knowledge] = field(default_factory=dict, repr=False)
    _listed: dict[Knowledge, Inputs] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", as_source_tasks(self.sources))

    @cached_property
    def plain(self) -> Proposer:
        """The plain proposer."""
        # With its random trials: what misleading sources have proposed is no start for a model of its own.
        return self.base or NASBOTProposer(self.space)

    @property
    def _source_tasks(self) -> Sequence[SourceTask]:
        assert not isinstance(self.sources, Mapping), "converted when the proposer was made"
        return self.sources

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """
        check_request(observations, n, generator)
        decision = self.decide(observations, generator)
        if decision.model == "transfer":
            return self.transferred(decision, observations, n, generator)
        proposals = self.plain.propose(observations, n, generator)
        return [Proposal(p.candidate, {**p.notes, "transfer": decision.notes}) for p in proposals]

    def incumbent(self, observations: Observations) -> Candidate | None:
        """The candidate that the plain proposer thinks best; None where it has no opinion."""
        opinion = getattr(self.plain, "incumbent", None)
        found: Candidate | None = opinion(observations) if callable(opinion) else None
        return found

    @cached_property
    def _usable(self) -> tuple[list[SourceTask], dict[str, str]]:
        return usable(self.space, self._source_tasks, self.settings.sources)

    @property
    def refused(self) -> dict[str, str]:
        """Names of the sources that cannot inform the space, each with the reason."""
        return self._usable[1]

    # --- who proposes -----------------------------------------------------------------------------------------------

    def decide(self, observations: Observations, generator: np.random.Generator) -> Decision:
        """Who proposes next. Draws from the generator only where both have a chance."""
        sources = self._usable[0]
        if not sources:
            return Decision("base", 0.0, "no usable source")
        budget = self.settings.budgets * float(np.median([source.n_evaluations for source in sources]))
        if len(observations) > budget:
            return Decision("base", 0.0, "the sources' budgets are behind")
        everything, guard = self._all_known, self.settings.guard
        begun = len(observations) + len(observations.pending)
        if guard and self._begins_simply and begun < len(self.space.initial):
            return Decision("base", 0.0, "simple cells come first", everything)
        if not len(observations):
            return self._first_word(everything, observations)
        if guard and self._reads_backwards(everything, observations):
            return Decision("base", 0.0, "the sources run against the trials", everything)
        knowledge, dropped = self._kept(observations)
        fitted = self._fit(knowledge, observations)
        if len(observations) < CHECKPOINTS[0] or not guard:
            return self._first_word(knowledge, observations, fitted)
        return self._judged(Decision("transfer", 1.0, "", knowledge, dropped, fitted), observations, generator)

    def _first_word(
        self, knowledge: Knowledge, observations: Observations, fitted: TransferGP | None = None
    ) -> Decision:
        """The decision where there are too few values to weigh: the sources', or in turns with the plain proposer."""
        foresight = knowledge.prior.foresight
        if self.settings.guard and foresight < self.settings.least_foresight:
            return Decision("base", 0.0, "the sources do not foretell one another", knowledge)
        turn = len(observations) + len(observations.pending)
        if self.settings.guard and not leads(foresight) and turn % 2:
            return Decision("base", 0.5, "the sources' opinion is held against chance", knowledge)
        return Decision("transfer", 1.0, "too few trials to judge the sources", knowledge, (), fitted)

    def _judged(self, asked: Decision, observations: Observations, generator: np.random.Generator) -> Decision:
        """The decision where values can tell how far to believe the sources."""
        assert asked.knowledge is not None and asked.fitted is not None, "asked with what past tasks know"
        inputs, values = self._observed(asked.knowledge, observations)
        foresight, trusted = asked.knowledge.prior.foresight, self.settings.trusted_base
        if contradicting(inputs.mean[:, None], values, clearly_against(foresight)):
            return replace(asked, model="base", weight=0.0, reason="the sources run against the trials")
        plain = fit_transfer_gp(inputs.plain(), values, asked.knowledge.features.groups, self.settings.prior.gp)
        densities = asked.fitted.leave_one_out_log_density, plain.leave_one_out_log_density
        odds = 0.0 if self._begins_simply else prior_log_odds(foresight, len(observations))
        weight = min(transfer_weight(*densities, odds), self._weight_against_base(asked.knowledge, observations, odds))
        weight = min(weight, largest_weight(foresight, len(observations)))
        if weight <= 1.0 - trusted or (self._begins_simply and weight < _CLEARLY_BETTER):
            return replace(asked, model="base", weight=weight, reason="the sources do not foretell the trials")
        if weight < trusted and generator.random() >= weight:
            return replace(asked, model="base", weight=weight, reason="drawn")
        return replace(asked, weight=weight, reason="the sources foretell the trials")

    def _weight_against_base(self, knowledge: Knowledge, observations: Observations, odds: float) -> float:
        """How far to believe past tasks where the plain proposer has a model of its own; 1 where it has none.

        On networks a model that knows their graphs foretells more than a plain process on the features of transfer.
        """
        if not isinstance(self.plain, ForetellingProposer) or observations.candidates[0].architecture is None:
            return 1.0
        rows = self._considered(observations)
        seen = Observations(tuple(observations.candidates[i] for i in rows), observations.values[rows])
        inputs, scores = knowledge.inputs(seen.candidates), self.plain.scores(seen)
        fitted = fit_transfer_gp(inputs, scores, knowledge.features.groups, knowledge.prior.gp)
        return transfer_weight(fitted.leave_one_out_log_density, self.plain.leave_one_out_log_density(seen), odds)

    def _reads_backwards(self, knowledge: Knowledge, observations: Observations) -> bool:
        """Whether past tasks that prefer the opposite would foretell the values clearly better."""
        if len(observations) < MIRRORED_FROM:
            return False
        inputs, values = self._observed(knowledge, observations)
        if not contradicting(inputs.mean[:, None], values):
            return False
        groups, settings = knowledge.features.groups, knowledge.prior.gp
        mirrored = fit_transfer_gp(inputs.mirrored(), values, groups, settings).log_marginal_likelihood
        odds = prior_log_odds(knowledge.prior.foresight, len(observations))
        return mirror_is_likelier(self._fit(knowledge, observations).log_marginal_likelihood, mirrored, odds)

    def _kept(self, observations: Observations) -> tuple[Knowledge, tuple[str, ...]]:
        """What is known of the sources that passed every test that the target's trials have been enough for."""
        knowledge = self._all_known
        dropped: tuple[str, ...] = ()
        for checkpoint in reached(len(observations)) if self.settings.guard else ():
            first = observations.first(checkpoint)
            test = (knowledge, tuple(candidate.digest for candidate in first.candidates), first.values.tobytes())
            if test not in self._tests:
                self._tests[test] = self._tested(knowledge, first)
            knowledge, gone = self._tests[test]
            dropped += gone
        return knowledge, dropped

    def _tested(self, knowledge: Knowledge, observations: Observations) -> tuple[Knowledge, tuple[str, ...]]:
        """The knowledge without the sources that contradict the values, where that foretells them clearly better."""
        inputs, values = self._observed(knowledge, observations)
        against = contradicting(knowledge.prior.task_means(inputs.features), values)
        if not against or len(against) == len(knowledge.sources):
            return knowledge, ()
        without = self._without(knowledge, against)
        gain = self._fit(without, observations).leave_one_out_log_density.sum()
        gain -= self._fit(knowledge, observations).leave_one_out_log_density.sum()
        if gain <= CLEARLY:
            return knowledge, ()
        return without, tuple(knowledge.sources[t].name for t in against)

    @cached_property
    def _all_known(self) -> Knowledge:
        return learn(self.space, self._usable[0], self.settings.prior, self.settings.seed)

    def _without(self, knowledge: Knowledge, against: Sequence[int]) -> Knowledge:
        less = tuple(source for place, source in enumerate(knowledge.sources) if place not in against)
        if less not in self._lessened:
            self._lessened[less] = knowledge.without(against)
        return self._lessened[less]

    def _observed(self, knowledge: Knowledge, observations: Observations) -> tuple[Inputs, Floats]:
        rows = self._considered(observations)
        inputs = knowledge.inputs([observations.candidates[i] for i in rows])
        return inputs, comparable(observations.values[:, 0])[rows]

    def _considered(self, observations: Observations) -> NDArray[np.int64]:
        """Places of the observations that models are conditioned on: all, or the best and some of the rest."""
        if len(observations) <= self.settings.fitted_at_most:
            return np.arange(len(observations))
        return thinned_rows(observations.values[:, 0], self.settings.fitted_at_most)

    def _fit(self, knowledge: Knowledge, observations: Observations) -> TransferGP:
        inputs, values = self._observed(knowledge, observations)
        return fit_transfer_gp(inputs, values, knowledge.features.groups, knowledge.prior.gp)

    # --- what past tasks propose ------------------------------------------------------------------------------------

    def transferred(
        self, decision: Decision, observations: Observations, n: int, generator: np.random.Generator
    ) -> list[Proposal]:
        """The `n` candidates that past tasks propose, given a decision for them.

        Raises:
            ValueError: If the decision is for the plain proposer.
        """
        if decision.knowledge is None:
            raise ValueError("got a decision for the plain proposer, expected one for past tasks; ask the former.")
        seen = set(observations.digests)
        pending = list(observations.pending)
        proposals: list[Proposal] = []
        for _ in range(n):
            candidate, value = self._most_wanted(decision, observations, pending, seen, generator)
            notes: dict[str, Any] = {"origin": "transfer", "transfer": decision.notes}
            notes |= {"acquisition_value": value} if np.isfinite(value) else {}
            proposals.append(Proposal(candidate, notes))
            pending.append(candidate)
            seen.add(candidate.digest)
        return proposals

    def _most_wanted(
        self,
        decision: Decision,
        observations: Observations,
        pending: Sequence[Candidate],
        seen: set[str],
        generator: np.random.Generator,
    ) -> tuple[Candidate, float]:
        assert decision.knowledge is not None, "checked by the caller"
        wanted = TransferAcquisition(decision.knowledge, decision.fitted, observations, pending, generator)
        if self._listing is not None:
            free = self._listing.open(seen)
            if free.any():
                values = np.where(free, wanted.of(self._listed_inputs(decision.knowledge)), -np.inf)
                place = int(values.argmax())
                return self._listing.candidates[place], float(values[place])
        known = best_observed(observations, 5) + sources_best(self.space, decision.knowledge.sources, generator)
        return sampled_best(self.space, known, seen, wanted, generator, self.settings.pool)

    @property
    def _begins_simply(self) -> bool:
        """Whether a search begins with simple cells, from which the plain proposer's own model learns.

        Sources that foretell one another well know more than these tell, and have the first word there, too.
        """
        has_model = isinstance(self.plain, ForetellingProposer)
        has_simple = has_model and self._listing is not None and bool(self.space.initial)
        return has_simple and not leads(self._all_known.prior.foresight)

    @cached_property
    def _listing(self) -> Listing | None:
        candidates = self.space.candidates
        is_listed = candidates is not None and len(candidates) <= self.settings.pool.listed_at_most
        return Listing(candidates or ()) if is_listed else None

    def _listed_inputs(self, knowledge: Knowledge) -> Inputs:
        if knowledge not in self._listed:
            self._listed[knowledge] = knowledge.prior.inputs(self._listed_features)
        return self._listed[knowledge]

    @cached_property
    def _listed_features(self) -> Floats:
        """Those of all candidates of a listed space, the same whichever sources are believed."""
        assert self._listing is not None, "asked for listed spaces alone"
        return self._all_known.features(self._listing.candidates)
