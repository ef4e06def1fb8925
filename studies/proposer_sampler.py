"""ProposerSampler: the adapter that makes an Optuna sampler of any proposer.

A sampler proposes when a trial is made (`before_trial`), from the storage alone, and writes the proposal at once into
the trial's system attributes: workers that share the study see it as pending before the objective has asked for a
parameter. All randomness of a proposal comes from a generator made of the sampler's seed and the trial's number.
"""

from __future__ import annotations

import logging
import operator
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from threading import RLock
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import threadpool_limits

from automl.observations import Observations
from automl.proposers.base import Proposal, Proposer
from automl.proposers.pool import first_proposal, startup
from automl.spaces.base import Space
from studies.attributes import PROPOSAL, json_ready
from studies.distributions import to_distributions
from studies.history import History, is_decided

# Two workers may propose the same candidate in the same moment. Each publishes its proposal and then looks: who
# published last sees the other's and proposes again, at most this often; both may, none keeps what the other has.
_MAX_COLLISIONS = 5
_TOO_MANY_ALIKE = 3  # Of two values, accuracies say, it may be chance that they are equal.

_ONE_AT_A_TIME = RLock()

_logger = logging.getLogger("automl.studies")


class ProposerSampler(BaseSampler):
    """Makes an Optuna sampler of any proposer.

    Works in `optuna.create_study(sampler=...)` with any objective that asks for the space's parameters, best by
    `studies.objective.suggest(trial, space)`. Parameters that are not the space's go to the independent sampler.

    Args:
        proposer: Answers "which candidate next?".
        seed: Seed of all proposals; None draws one.
        n_startup_trials: Number of finished trials before the proposer is asked; until then proposals are the
            space's simple networks and random ones. By default one more than there are simple networks, or ten where
            there are none.
        independent_sampler: Answers for parameters that are not the space's; random by default.

    Raises:
        ValueError: If `n_startup_trials` is below 1, or the seed or the independent sampler is none.
    """

    def __init__(
        self,
        proposer: Proposer,
        *,
        seed: int | None = None,
        n_startup_trials: int | None = None,
        independent_sampler: BaseSampler | None = None,
    ) -> None:
        check_startup(n_startup_trials)
        check_sampler("independent_sampler", independent_sampler)
        self.proposer = proposer
        self.space = proposer.space
        self.seed = checked_seed(seed)
        self._n_startup_trials = startup(self.space, n_startup_trials)
        self._independent_sampler = independent_sampler or RandomSampler(seed=optuna_seed(self.seed))
        self._distributions = to_distributions(self.space.parameters)
        self._history = History(self.space)
        self._told_constant = False

    def reseed_rng(self) -> None:
        """Reseeds the independent sampler alone: proposals depend on the trial's number, never on a worker's state."""
        self._independent_sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Proposes the trial's candidate and publishes it, unless a queued trial brings its own.

        Raises:
            Exception: What the proposer raises; the trial is marked as failed before.
        """
        self._independent_sampler.before_trial(study, trial)
        if len(study.directions) > 1 or is_decided(self.space, trial):
            return
        with proposing(study, trial):
            self._propose(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that the trial's proposal decides: the part of the conditional space that it walked.

        A trial that was queued again may bring a proposal of another space, whose other names are left out.
        """
        refuse_several_objectives(study)
        return {name: self._distributions[name] for name in _proposed(trial) if name in self._distributions}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal's values; names that it lacks are answered by the independent sampler."""
        refuse_several_objectives(study)
        proposed = _proposed(trial)
        return {
            name: proposed[name] if name in proposed else self.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The independent sampler's answer for a parameter that no proposal decides."""
        refuse_several_objectives(study)
        return self._independent_sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Passes the news on to the independent sampler; the rest is in the storage."""
        self._independent_sampler.after_trial(study, trial, state, values)

    def observations(self, study: Study, asking: int | None = None) -> Observations:
        """What the study's trials tell of the space, without the trial that asks."""
        return self._observed(study, study.get_trials(deepcopy=False), asking)

    def _propose(self, study: Study, trial: FrozenTrial) -> None:
        generator = np.random.default_rng([self.seed % 2**63, trial.number])
        for _ in range(_MAX_COLLISIONS):
            started = time.perf_counter()
            known = self.observations(study, asking=trial.number)
            with one_at_a_time():
                proposal = self._next(known, generator)
            seconds = time.perf_counter() - started
            publish_proposal(study, trial, self.space.encode(proposal.candidate), proposal.notes, self.seed, seconds)
            met_meanwhile = self.observations(study, asking=trial.number).digests - known.digests
            if proposal.candidate.digest not in met_meanwhile:
                return

    def _next(self, observations: Observations, generator: np.random.Generator) -> Proposal:
        finished = len(observations) + len(observations.failed)
        if finished >= self._n_startup_trials:
            self._tell_constant(observations)
            return self.proposer.propose(observations, 1, generator)[0]
        return first_proposal(self.space, observations.digests, generator)

    def _tell_constant(self, observations: Observations) -> None:
        """Says, once, that the values do not differ: the proposals then are as good as random."""
        n = len(observations)
        if not self._told_constant and n >= _TOO_MANY_ALIKE and np.ptp(observations.values[:, 0]) == 0:
            self._told_constant = True
            _logger.warning(
                "all %d values of the study are the same, expected some that differ, as nothing can be learnt from "
                "these; check what the objective returns, or choose a finer metric.",
                n,
            )

    def _observed(self, study: Study, trials: Sequence[FrozenTrial], asking: int | None = None) -> Observations:
        return self._history.observations((study.study_name, study._study_id), trials, study.directions, asking)


def check_space(space: object) -> None:
    """Raises ValueError unless that is a space."""
    if not isinstance(space, Space):
        raise ValueError(f"got the space {space!r}, expected one such as MLPSpace(); make and pass one.")


def check_startup(n_startup_trials: object) -> None:
    """Raises ValueError unless there are trials to learn from before the proposer is asked, or None, the default."""
    if n_startup_trials is not None and not (isinstance(n_startup_trials, Integral) and int(n_startup_trials) >= 1):
        raise ValueError(
            f"got n_startup_trials = {n_startup_trials!r}, expected a whole number of at least 1, since a proposer "
            "learns from finished trials; raise it."
        )


def check_sampler(name: str, sampler: object) -> None:
    """Raises ValueError unless that is one of Optuna's samplers, or None, the default."""
    if sampler is not None and not isinstance(sampler, BaseSampler):
        raise ValueError(f"got {name} = {sampler!r}, expected a sampler such as TPESampler(); make and pass one.")


def checked_seed(seed: int | None) -> int:
    """The seed as an integer of Python's own, since NumPy's overflow; None draws one.

    Raises:
        ValueError: If it is no whole number.
    """
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    try:
        return operator.index(seed)
    except TypeError:
        raise ValueError(f"got seed = {seed!r}, expected a whole number or None; pass one.") from None


def optuna_seed(seed: int) -> int:
    """The seed of an Optuna sampler, which takes 32 bits; those within are kept."""
    return seed % 2**32


@contextmanager
def proposing(study: Study, trial: FrozenTrial) -> Iterator[None]:
    """Looks after a trial, and other threads of the process, while its proposal is made.

    Optuna's loop does not look after the trial yet. So that it cannot stay RUNNING for ever, its heartbeat is recorded
    here, and it is marked as failed if the block fails.
    """
    try:
        with get_heartbeat_thread(trial._trial_id, study._storage), _ONE_AT_A_TIME:
            yield
    except BaseException:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        raise


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Lets one thread of the process ask a proposer, and torch, where the proposer has brought it, use one thread.

    Fitted models and histories change as they are used, and torch's random state and number of threads belong to the
    whole process. The matrices of a few hundred trials are small: a second thread of torch's or of NumPy's and SciPy's
    linear algebra saves nothing, takes ten times the time where others use the cores, and may change the last bits of a
    proposal.
    """
    with _ONE_AT_A_TIME:
        if "torch" not in sys.modules:
            yield
            return
        from automl.torch_threads import limited_threads  # deferred, since it would bring torch

        with limited_threads(1), threadpool_limits(1, "blas"):
            yield


def publish_proposal(
    study: Study, trial: FrozenTrial, params: Mapping[str, Any], notes: Mapping[str, Any], seed: int, seconds: float
) -> None:
    """Writes a trial's proposal into the storage, for other workers and for people.

    Args:
        study: The trial's study.
        trial: The trial that waits for it.
        params: The proposal's values by name.
        notes: What the proposer says of it.
        seed: The sampler's seed, from which the proposal can be made again.
        seconds: Wall time that it took.
    """
    proposal = {"params": params, "notes": json_ready(notes), "seed": seed, "seconds": round(seconds, 4)}
    write_attribute(study, trial, PROPOSAL, proposal)


def write_attribute(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Writes a system attribute into the storage and into the trial at hand, which Optuna does not read again."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)
    trial.system_attrs[key] = value


def _proposed(trial: FrozenTrial) -> Mapping[str, Any]:
    """The published proposal's values by name; empty for a trial that a user queued."""
    params: Mapping[str, Any] = trial.system_attrs.get(PROPOSAL, {}).get("params", {})
    return params


def refuse_several_objectives(study: Study) -> None:
    """Raises ValueError if the study has more than one objective."""
    if len(study.directions) > 1:
        raise ValueError(
            f"got a study of {len(study.directions)} objectives, this sampler takes one; "
            "create the study with one direction or choose a sampler for several objectives."
        )
