"""TransferSampler: an Optuna sampler that starts a study from what past studies know.

It wraps another sampler, the base. Each trial is either proposed from past studies (`automl.proposers.transfer` or,
where these evaluated the same candidates, `automl.proposers.shared_candidates`) or left to the base entirely; without
a usable source every call goes to the base, so that both are the same sampler then. The decision is written into the
trial's system attributes, and into the notes that the dashboard shows.
"""

from __future__ import annotations

import logging
import operator
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from optuna.search_space import intersection_search_space
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from automl.observations import Observations
from automl.parameters import Parameter
from automl.proposers.base import Proposal, Proposer
from automl.proposers.shared_candidates import Method, SharedCandidatesProposer
from automl.proposers.transfer import TransferProposer, TransferSettings
from automl.proposers.transfer_decision import Decision, PastTasksProposer
from automl.proposers.uniform import UniformProposer
from automl.spaces.base import Space
from automl.spaces.flat import FlatSpace
from automl.transfer_features import SourceTask
from automl.transfer_guard import CHECKPOINTS
from studies.attributes import PROPOSAL, TRANSFER, json_ready
from studies.distributions import on_grid, to_distribution, to_distributions, to_parameter
from studies.history import History, is_decided
from studies.past_studies import PastStudies, SourceStudy
from studies.proposer_sampler import (
    ProposerSampler,
    check_sampler,
    checked_seed,
    optuna_seed,
    proposing,
    publish_proposal,
    write_attribute,
)
from studies.samplers import NASBOTSampler
from studies.storage import check_exists, database, open_storage

_logger = logging.getLogger("automl.studies")


@dataclass(frozen=True, eq=False)
class _Target:
    """What is searched, and who proposes from past studies there."""

    space: Space
    proposer: PastTasksProposer
    history: History
    distributions: Mapping[str, BaseDistribution]
    is_guessed: bool


class TransferSampler(BaseSampler):
    """Learns from past studies, and hands over to its base sampler where they do not help.

    Args:
        source_studies: What to learn from: studies of ours or of Optuna, names, globs such as "mnist-*", or "all"; one
            alone or a list.
        space: The space that the study searches, for networks; None for a plain Optuna study.
        search_space: What a plain study's objective asks for by name, as distributions of Optuna or parameters such as
            `Float(0, 1)`. By default those that all its
            finished trials have asked for; before the first trial has finished those of the sources are tried.
        storage: Where names are looked up, a URL or an Optuna storage; the target study's own by default.
        base_sampler: Who proposes otherwise; NASBOT in a space of ours, TPE in a plain study.
        seed: Seed of the proposals; None draws one.
        settings: How sources are used.
        method: "model" learns from features of the candidates and is guarded against sources that mislead. The others
            propose candidates of past studies again and suit studies that evaluated the same ones: "portfolio" those
            that were best between them, one after another, "empirical" and "pmf" by what their values foretell.

    Raises:
        ValueError: If there is no source or one is neither a study nor text, both a space and a search space are given,
            the search space holds something else than distributions, the base sampler is none or a GridSampler, the
            settings are none, the method is unknown, the seed is no whole number, or the storage's URL names no
            database that can be opened.

    Example:
        >>> import optuna
        >>> past = optuna.create_study()
        >>> past.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=5)
        >>> study = optuna.create_study(sampler=TransferSampler([past], seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=3)
        >>> len(study.trials)
        3
    """

    def __init__(
        self,
        source_studies: SourceStudy | Iterable[SourceStudy],
        *,
        space: Space | None = None,
        search_space: Mapping[str, BaseDistribution | Parameter] | None = None,
        storage: str | BaseStorage | None = None,
        base_sampler: BaseSampler | None = None,
        seed: int | None = None,
        settings: TransferSettings | None = None,
        method: Literal["model"] | Method = "model",
    ) -> None:
        sources = _several(source_studies)
        if not sources:
            raise ValueError("got 0 source studies, expected at least one; name studies, a glob, or 'all'.")
        if space is not None and search_space is not None:
            raise ValueError("got both space and search_space, expected at most one of them; leave one out.")
        check_sampler("base_sampler", base_sampler)
        if isinstance(base_sampler, GridSampler):
            raise ValueError(
                "got a GridSampler as base sampler, expected one that may leave trials to past studies, while a grid "
                "counts its points trial by trial; take RandomSampler or TPESampler."
            )
        self.seed = checked_seed(seed)
        self.base_sampler = base_sampler or _default_base(space, self.seed)
        self._space = space
        self._search_space = None if search_space is None else _as_distributions(search_space)
        self._settings = TransferSettings() if settings is None else settings
        if not isinstance(self._settings, TransferSettings):
            raise ValueError(f"got settings = {settings!r}, expected TransferSettings(...); make and pass them.")
        self._method = _checked(method)
        if isinstance(storage, str):
            check_exists(storage)
            storage = open_storage(storage)
        self._past = PastStudies(sources, storage, space, self._settings.sources.rows_at_most)
        self._sources: list[SourceTask] = []
        self._stage: tuple[Hashable, int, int] | None = None
        self._target: _Target | None = None
        self._proposed: dict[int, tuple[_Target, Mapping[str, Any]]] = {}
        self._told_objectives = False

    def reseed_rng(self) -> None:
        """Reseeds the base sampler; proposals from past studies depend on the trial's number alone."""
        self.base_sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decides who proposes the trial, and proposes it where that is for past studies."""
        with proposing(study, trial):
            decision, seconds = self._propose(study, trial)
        if decision is not None and decision.model == "transfer":
            return
        self.base_sampler.before_trial(study, trial)
        if decision is not None and decision.sources:
            _note(study, trial, decision, seconds)

    def _propose(self, study: Study, trial: FrozenTrial) -> tuple[Decision | None, float]:
        """Decides who proposes and, where that is past studies, proposes; None where there is nothing to decide."""
        started = time.perf_counter()
        target = self._current(study)
        if target is None or is_decided(target.space, trial):
            return None, 0.0
        generator = np.random.default_rng([self.seed % 2**63, trial.number])
        observations = self._observations(study, target, trial.number)
        try:
            decision = target.proposer.decide(observations, generator)
            if decision.model == "transfer":
                proposal = target.proposer.transferred(decision, observations, 1, generator)[0]
                self._publish(study, trial, target, proposal, time.perf_counter() - started)
        except RuntimeError as error:  # as linear algebra's are: a covariance that cannot be factorised
            _logger.warning("trial %d is left to the base sampler: %s.", trial.number, error)
            return None, 0.0
        return decision, time.perf_counter() - started

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters of the trial's proposal; else the base sampler's."""
        target, params = self._proposed.get(trial._trial_id, (None, {}))
        if target is None or target.is_guessed:
            return self.base_sampler.infer_relative_search_space(study, trial)
        return {name: target.distributions[name] for name in params}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal's values; else the base sampler's."""
        target, params = self._proposed.get(trial._trial_id, (None, {}))
        if target is None or target.is_guessed:
            return self.base_sampler.sample_relative(study, trial, search_space)
        return {name: params[name] for name in search_space}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What past studies guess for a parameter of a study that has no finished trial; else the base's answer."""
        target, params = self._proposed.get(trial._trial_id, (None, {}))
        if target is not None and param_name in params and _contains(param_distribution, params[param_name]):
            return params[param_name]
        return self.base_sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Passes the news on to the base sampler; a guess that answered none of the objective's calls is taken back."""
        target, params = self._proposed.pop(trial._trial_id, (None, {}))
        asked = trial.params.keys()  # none where the objective failed before it asked
        if target is not None and target.is_guessed and asked and not params.keys() & asked:
            seconds = trial.system_attrs.get(PROPOSAL, {}).get("seconds", 0.0)
            notes = Decision("base", 0.0, "the objective asks for nothing that past studies searched").notes
            write_attribute(study, trial, TRANSFER, notes)
            publish_proposal(study, trial, {}, {"transfer": notes}, self.seed, seconds)
        self.base_sampler.after_trial(study, trial, state, values)

    # --- the target and its sources ---------------------------------------------------------------------------------

    def _current(self, study: Study) -> _Target | None:
        """The target as it is now; None where there is nothing to learn from, or nothing known to search."""
        if len(study.directions) > 1:
            self._tell_objectives(study)
            return None
        n_finished = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
        stage = (database(study._storage), study._study_id, sum(n_finished >= n for n in _REREAD))
        if stage != self._stage:
            self._read_sources(study, is_other_study=self._stage is None or stage[:2] != self._stage[:2])
            self._stage = stage
        if not self._sources:
            return None
        if self._space is not None:
            return self._of_space(self._space, to_distributions(self._space.parameters))
        return self._of_plain_study(study)

    def _read_sources(self, study: Study, *, is_other_study: bool) -> None:
        """Reads the sources anew; what was learnt from them is kept where they are what they were."""
        known, self._sources = self._sources, self._past.tasks(study)
        is_same = len(known) == len(self._sources) and all(map(operator.is_, known, self._sources))
        if is_other_study or not is_same:
            self._target = None

    def _of_plain_study(self, study: Study) -> _Target | None:
        asked = self._search_space or intersection_search_space(study.get_trials(deepcopy=False))
        is_guessed = not asked
        distributions = asked or self._past.distributions(study)
        ranges = {name: parameter for name, d in distributions.items() if (parameter := to_parameter(d)) is not None}
        return self._of_space(FlatSpace(ranges), distributions, is_guessed=is_guessed) if ranges else None

    def _of_space(
        self, space: Space, distributions: Mapping[str, BaseDistribution], *, is_guessed: bool = False
    ) -> _Target:
        known = self._target
        if known is None or known.space != space:
            proposer = self._proposer(space)
            for name, reason in proposer.refused.items():
                self._past.tell(name, reason)
            known = _Target(space, proposer, History(space), distributions, is_guessed)
        elif known.is_guessed != is_guessed:
            known = replace(known, distributions=distributions, is_guessed=is_guessed)
        self._target = known
        return known

    def _proposer(self, space: Space) -> PastTasksProposer:
        if self._method != "model":
            return SharedCandidatesProposer(space, self._sources, self._method)
        # What the sources are held against; an Optuna sampler has no model that could be asked.
        plain: Proposer = UniformProposer(space)
        if isinstance(self.base_sampler, ProposerSampler) and self.base_sampler.space == space:
            plain = self.base_sampler.proposer
        return TransferProposer(space, self._sources, plain, self._settings)

    def _observations(self, study: Study, target: _Target, asking: int) -> Observations:
        identity = (study.study_name, study._study_id)
        return target.history.observations(identity, study.get_trials(deepcopy=False), study.directions, asking)

    def _publish(self, study: Study, trial: FrozenTrial, target: _Target, proposal: Proposal, seconds: float) -> None:
        params = target.space.encode(proposal.candidate)
        params = {name: on_grid(target.distributions[name], value) for name, value in params.items()}
        self._proposed[trial._trial_id] = (target, params)
        write_attribute(study, trial, TRANSFER, json_ready(proposal.notes["transfer"]))
        publish_proposal(study, trial, params, proposal.notes, self.seed, seconds)

    def _tell_objectives(self, study: Study) -> None:
        if not self._told_objectives:
            self._told_objectives = True
            _logger.warning(
                "nothing is learnt from past studies: the study has %d objectives, expected one.", len(study.directions)
            )


# Numbers of finished trials at which the sources are read anew: when the guard judges, and at every doubling after.
_REREAD = (0, *CHECKPOINTS, *(CHECKPOINTS[-1] * 2**i for i in range(1, 12)))


def _checked(method: Literal["model"] | Method) -> Literal["model"] | Method:
    known = ("model", *get_args(Method))
    if method not in known:
        raise ValueError(f"got the method {method!r}, expected one of {', '.join(known)}; choose one of these.")
    return method


def _several(sources: SourceStudy | Iterable[SourceStudy]) -> tuple[SourceStudy, ...]:
    """The sources; what is none is left to `PastStudies` to refuse."""
    if isinstance(sources, SourceStudy):
        return (sources,)
    return tuple(sources) if isinstance(sources, Iterable) else (sources,)


def _as_distributions(search_space: Mapping[str, BaseDistribution | Parameter]) -> dict[str, BaseDistribution]:
    """The distributions; raises ValueError where there are none, or something else."""
    if not isinstance(search_space, Mapping) or not search_space:
        raise ValueError(
            f"got search_space = {search_space!r}, expected the distribution of each parameter by name, such as "
            "{'x': FloatDistribution(0, 1)}; pass these, or leave it away."
        )
    found = {name: to_distribution(p) if isinstance(p, Parameter) else p for name, p in search_space.items()}
    for name, distribution in found.items():
        if not isinstance(distribution, BaseDistribution):
            raise ValueError(
                f"got {distribution!r} as the distribution of {name!r}, expected such as FloatDistribution(0, 1) or "
                "Float(0, 1); make and pass one."
            )
    return found


def _default_base(space: Space | None, seed: int) -> BaseSampler:
    if space is None:
        return TPESampler(seed=optuna_seed(seed))
    return NASBOTSampler(space, seed=seed)


def _note(study: Study, trial: FrozenTrial, decision: Decision, seconds: float) -> None:
    """Adds the decision to what the base sampler has published of its proposal, if it has."""
    notes = json_ready(decision.notes)
    published = {"params": {}, "notes": {}, "seconds": round(seconds, 4), **trial.system_attrs.get(PROPOSAL, {})}
    write_attribute(study, trial, TRANSFER, notes)
    write_attribute(study, trial, PROPOSAL, {**published, "notes": {**published["notes"], "transfer": notes}})


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a guessed value may be returned for a distribution that was not known when it was guessed."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False
