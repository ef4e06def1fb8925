"""Trials that are interrupted, withdrawn or abandoned, or whose storage fails: none is lost and none runs for ever."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Sequence
from typing import NoReturn

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from automl.errors import InputError
from studies.attributes import REASON, RETRY_HISTORY, retried_numbers
from tests.studies.small_studies import make


class InterruptAt(BasePruner):
    """Presses Ctrl-C in the first epoch of one trial."""

    def __init__(self, number: int) -> None:
        self.number = number

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if trial.number == self.number:
            raise KeyboardInterrupt
        return False


@pytest.mark.parametrize("is_back", [True, False])
def test_a_storage_that_fails_is_told_in_one_sentence_and_the_trial_is_run_again(
    url: str, monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    study = make(url)
    storage = study.optuna._storage
    write = storage.set_trial_state_values
    reads = storage.get_trial

    def failing(trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if state == TrialState.COMPLETE:
            _fail("database or disk is full")
        return write(trial_id, state, values)

    def gone(trial_id: int) -> FrozenTrial:
        return reads(trial_id) if is_back else _fail("database or disk is full")

    monkeypatch.setattr(storage, "set_trial_state_values", failing)
    monkeypatch.setattr(storage, "get_trial", gone)
    with pytest.raises(
        InputError, match=r"storage failed \(database or disk is full\), expected .* go on: finished trials are kept"
    ):
        study.optimize(n_trials=1)
    monkeypatch.undo()
    # Where nothing can be written, the trial is queued by who misses its heartbeats.
    assert [trial.state.name for trial in study.trials] == (["FAIL", "WAITING"] if is_back else ["RUNNING"])
    study.optimize(n_trials=1)
    assert (len(study.trials), study.n_finished) == (2, 1)


def _fail(reason: str) -> NoReturn:
    """As Optuna does where a database fails."""
    try:
        try:
            raise sqlite3.OperationalError(reason)
        except sqlite3.OperationalError as error:
            raise sqlalchemy.exc.OperationalError("UPDATE", {}, error) from error
    except sqlalchemy.exc.OperationalError as error:
        raise StorageInternalError("An exception is raised during the commit.") from error


def test_the_reason_told_is_the_database_s_own_not_what_its_pool_of_connections_made_of_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make(url)

    def unreachable(*_: object) -> NoReturn:
        try:
            try:
                raise sqlalchemy.exc.InvalidatePoolError
            except sqlalchemy.exc.InvalidatePoolError:
                _fail("connection refused")
        except StorageInternalError as error:
            raise error from error.__cause__

    monkeypatch.setattr(study.optuna._storage, "set_trial_state_values", unreachable)
    with pytest.raises(InputError, match=r"storage failed \(connection refused\), expected"):
        study.optimize(n_trials=1)


def test_a_storage_that_fails_between_trials_is_told_in_a_sentence_too(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make(url)
    monkeypatch.setattr(study.optuna._storage, "get_all_trials", lambda *_, **__: _fail("connection refused"))
    for n_workers in (1, 2):
        with pytest.raises(InputError, match=r"storage failed \(connection refused\), expected"):
            study.optimize(n_trials=2, n_workers=n_workers)
    monkeypatch.undo()
    assert study.trials == []


def test_an_interrupted_trial_is_run_again_with_the_same_parameters(url: str) -> None:
    study = make(url, pruner=InterruptAt(1))
    with pytest.raises(KeyboardInterrupt):
        study.optimize(n_trials=5)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "WAITING"]
    assert study.n_finished == 1
    study.optimize(n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params == study.trials[1].params
    assert study.trials[2].system_attrs[RETRY_HISTORY] == [1]
    assert study.n_finished == 3


def test_a_trial_whose_process_was_killed_is_run_again_once_its_heartbeat_is_stale(url: str) -> None:
    study = make(url)
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        study.optuna.ask()  # as a process does that is killed while it trains; the proposer's heartbeat was its last
    _age_heartbeats(study.optuna._storage)
    study.optimize(n_trials=1)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[1].system_attrs[RETRY_HISTORY] == [0]
    assert study.n_finished == 1


def _age_heartbeats(storage: optuna.storages.BaseStorage) -> None:
    """Sets the clock of all heartbeats an hour back."""
    with storage._backend.engine.begin() as connection:  # type: ignore[attr-defined]  # the cached storage's inner one
        connection.execute(sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')"))


class InterruptedSampler(optuna.samplers.RandomSampler):
    """Random search during whose proposals Ctrl-C is pressed."""

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        signal.raise_signal(signal.SIGINT)
        super().before_trial(study, trial)


def test_an_interrupt_between_the_making_of_a_trial_and_its_start_leaves_it_queued(url: str) -> None:
    study = make(url, sampler=InterruptedSampler())
    with pytest.raises(KeyboardInterrupt):
        study.optimize(n_trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert retried_numbers(study.trials) == {0}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_while_a_result_is_written_loses_no_result_at_once_and_none_for_good(
    url: str, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    study = make(url)
    storage = study.optuna._storage
    write = storage.set_trial_state_values

    def interrupted(trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if state == TrialState.COMPLETE:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return write(trial_id, state, values)

    monkeypatch.setattr(storage, "set_trial_state_values", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(n_trials=2)
    expected = ["COMPLETE"] if times == 1 else ["FAIL", "WAITING"]  # who presses twice does not want to wait
    assert [trial.state.name for trial in study.trials] == expected
    monkeypatch.undo()
    study.optimize(n_trials=1)
    assert study.n_finished == (2 if times == 1 else 1)
    assert TrialState.RUNNING not in [trial.state for trial in study.trials]


def test_of_two_workers_that_start_the_last_trial_at_once_the_later_withdraws(url: str) -> None:
    study, heard = make(url, sampler="random"), list[int]()
    study.optimize(n_trials=1)
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        other = study.optuna.ask()  # what another worker does between this one's look at the study and its trial
    assert study.n_started() == 2
    assert study.run_trial(callbacks=[lambda _, trial: heard.append(trial.number)], n_total=2) is None
    withdrawn = study.trials[2]
    assert (withdrawn.state, withdrawn.params) == (TrialState.FAIL, {})
    assert withdrawn.user_attrs[REASON].startswith("not run: other workers")
    assert (study.n_finished, study.n_started(), heard) == (1, 2, [])
    study.optuna.tell(other, state=TrialState.FAIL)  # the other is interrupted: its trial is still to be run
    assert study.run_trial(n_total=2) == 3
    assert study.n_finished == 2


def test_a_queued_trial_is_run_even_beyond_the_total(url: str) -> None:
    study = make(url, sampler="random")
    study.optimize(n_trials=1)
    study.optuna.enqueue_trial(study.trials[0].params)
    assert study.run_trial(n_total=1) == 1


def test_abandoned_trials_are_queued_when_a_process_asks_for_it(url: str) -> None:
    study = make(url)
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        study.optuna.ask()
    study.requeue_abandoned()
    assert study.n_started() == 1
    _age_heartbeats(study.optuna._storage)
    study.requeue_abandoned()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert study.n_started() == 0


def test_a_candidate_whose_processes_die_again_and_again_is_queued_twice_and_then_given_up(url: str) -> None:
    study = make(url)
    for _ in range(3):
        with pytest.warns(UserWarning, match="Heartbeat of storage"):
            trial = study.optuna.ask()
        storage = study.optuna._storage
        storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]  # the cached storage hands it on
        _age_heartbeats(storage)
        study.requeue_abandoned()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 3
