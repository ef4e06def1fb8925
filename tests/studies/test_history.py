"""Optuna trials as observations."""

from __future__ import annotations

import logging
import math

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from automl.observations import Candidate
from studies.attributes import PROPOSAL, RETRY_HISTORY
from studies.distributions import to_distributions
from studies.history import History, is_decided, is_queued, trial_values
from tests.contracts.small_spaces import ChainSpace

SPACE = ChainSpace()
CANDIDATES = [SPACE.sample(np.random.default_rng(seed)) for seed in range(6)]
MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def trial(number: int, state: TrialState, candidate: Candidate | None, **fields: object) -> FrozenTrial:
    """A trial of the small space in the given state."""
    params = {} if candidate is None else SPACE.encode(candidate)
    distributions: dict[str, BaseDistribution] = to_distributions(SPACE.parameters)
    made = optuna.create_trial(
        state=state,
        params=params,
        distributions={name: distributions[name] for name in params},
        **fields,  # type: ignore[arg-type]  # tests name the fields of create_trial themselves
    )
    made.number = number
    return made


def test_completed_trials_are_losses_in_the_order_of_their_numbers() -> None:
    trials = [trial(i, TrialState.COMPLETE, CANDIDATES[i], value=float(i)) for i in range(3)]
    observations = History(SPACE).observations("study", trials, [MAXIMIZE])
    assert observations.candidates == tuple(CANDIDATES[:3])
    assert observations.values.tolist() == [[0.0], [-1.0], [-2.0]]


def test_each_of_several_objectives_has_its_own_direction() -> None:
    trials = [trial(0, TrialState.COMPLETE, CANDIDATES[0], values=[2.0, 3.0])]
    observations = History(SPACE).observations("study", trials, [MINIMIZE, MAXIMIZE])
    assert observations.values.tolist() == [[2.0, -3.0]]


@pytest.mark.parametrize(("direction", "best"), [(MINIMIZE, 0.2), (MAXIMIZE, 0.9)])
def test_a_pruned_trial_is_worth_its_best_finite_intermediate_value(direction: StudyDirection, best: float) -> None:
    curve = {1: 0.9, 2: 0.2, 3: 0.4, 4: math.nan, 5: math.inf}
    pruned = trial(0, TrialState.PRUNED, CANDIDATES[0], intermediate_values=curve)
    assert trial_values(pruned, [direction]) == [best]


@pytest.mark.parametrize(
    "unusable",
    [
        trial(0, TrialState.FAIL, CANDIDATES[0]),
        trial(0, TrialState.PRUNED, CANDIDATES[0]),
        trial(0, TrialState.COMPLETE, CANDIDATES[0], value=math.inf),
    ],
)
def test_a_finished_trial_without_a_finite_value_has_failed(unusable: FrozenTrial) -> None:
    observations = History(SPACE).observations("study", [unusable], [MINIMIZE])
    assert observations.failed == (CANDIDATES[0],)
    assert len(observations) == 0


def test_a_trial_that_was_interrupted_and_queued_again_says_nothing_against_its_candidate() -> None:
    interrupted = trial(0, TrialState.FAIL, CANDIDATES[0])
    queued = trial(1, TrialState.WAITING, CANDIDATES[0], system_attrs={RETRY_HISTORY: [0]})
    observations = History(SPACE).observations("study", [interrupted, queued], [MINIMIZE])
    assert observations.failed == ()
    assert observations.pending == (CANDIDATES[0],)


def test_running_and_waiting_trials_are_pending_by_proposal_by_fixed_or_by_asked_parameters() -> None:
    published = {PROPOSAL: {"params": SPACE.encode(CANDIDATES[0])}}
    fixed = {"fixed_params": SPACE.encode(CANDIDATES[1])}
    trials = [
        trial(0, TrialState.RUNNING, None, system_attrs=published),
        trial(1, TrialState.WAITING, None, system_attrs=fixed),
        trial(2, TrialState.RUNNING, CANDIDATES[2]),
        trial(3, TrialState.RUNNING, None),
        trial(4, TrialState.RUNNING, CANDIDATES[4]),
    ]
    observations = History(SPACE).observations("study", trials, [MINIMIZE], asking=4)
    assert observations.pending == tuple(CANDIDATES[:3])
    assert is_decided(SPACE, trials[0])
    assert not is_decided(SPACE, trials[3])


def test_trials_are_queued_by_users_with_parameters_and_after_interrupts_with_or_without() -> None:
    queued = (
        trial(0, TrialState.RUNNING, CANDIDATES[0]),
        trial(1, TrialState.RUNNING, None, system_attrs={"fixed_params": {"depth": 2}}),
        trial(2, TrialState.RUNNING, None, system_attrs={RETRY_HISTORY: [0]}),
    )
    assert all(is_queued(known) for known in queued)
    assert not is_queued(trial(3, TrialState.RUNNING, None, system_attrs={"fixed_params": {}}))


def test_trials_of_another_space_are_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    foreign = optuna.create_trial(params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)}, value=1.0)
    history = History(SPACE)
    with caplog.at_level(logging.WARNING, "automl.studies"):  # what is said below is seen by nobody by default
        for _ in range(2):
            assert len(history.observations("study", [foreign], [MINIMIZE])) == 0
    assert caplog.text.count("has no candidate of the sampler's space ChainSpace") == 1


def test_a_trial_that_failed_before_it_had_asked_for_all_its_parameters_is_not_told_as_foreign(
    caplog: pytest.LogCaptureFixture,
) -> None:
    early = optuna.create_trial(state=TrialState.FAIL)
    assert len(History(SPACE).observations("study", [early], [MINIMIZE])) == 0
    assert not caplog.records


def test_what_is_remembered_of_one_study_is_not_taken_for_another() -> None:
    history = History(SPACE)
    first = history.observations("first", [trial(0, TrialState.COMPLETE, CANDIDATES[0], value=1.0)], [MINIMIZE])
    second = history.observations("second", [trial(0, TrialState.COMPLETE, CANDIDATES[1], value=1.0)], [MINIMIZE])
    assert first.candidates != second.candidates


def test_studies_that_nothing_tells_apart_are_known_by_their_trials() -> None:
    history = History(SPACE)
    for candidate in CANDIDATES[:2]:
        trials = [trial(0, TrialState.COMPLETE, candidate, value=1.0)]
        assert history.observations(("name", 0), trials, [MINIMIZE]).candidates == (candidate,)
