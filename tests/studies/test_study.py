"""Studies from creation to the model in the user's hands, on real data with short trainings."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from sklearn.datasets import load_iris

from automl.data.splits import split
from automl.errors import InputError
from automl.model import Model
from automl.task import Task
from automl.trainer import TrainerSettings
from studies.attributes import DEFINITION, retried_numbers
from studies.sampler_names import SAMPLERS
from studies.study import Study, load_study
from tests.studies.small_studies import IRIS, SETTINGS, make, values


def test_a_name_and_a_url_are_enough_to_go_on_with_a_study(url: str) -> None:
    make(url, pruner="none").optimize(n_trials=2)
    again = load_study("iris", url)
    again.optimize(n_trials=2)
    whole = make(None, pruner="none")
    whole.optimize(n_trials=4)
    assert values(again) == values(whole)
    assert (again.task, again.settings, again.space) == (IRIS, SETTINGS, whole.space)


def test_a_study_that_another_process_is_just_making_is_waited_for(url: str) -> None:
    made = make(url, "made").stored
    raw = optuna.create_study(study_name="iris", storage=made._storage)
    defining = threading.Timer(0.2, lambda: raw.set_user_attr(DEFINITION, made.user_attrs[DEFINITION]))
    defining.start()
    try:
        assert load_study("iris", url).definition == load_study("made", url).definition
    finally:
        defining.join()


def test_of_two_processes_that_make_a_study_at_the_same_moment_one_makes_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = optuna.study.get_all_study_names

    def known_before_another_makes_it(storage: BaseStorage) -> list[str]:
        names = known(storage)
        monkeypatch.setattr(optuna.study, "get_all_study_names", known)
        make(url, sampler="tpe")
        return names

    for asked, sentence in ((False, "a study named 'iris' exists already"), (True, "made with the seed 0, got the se")):
        monkeypatch.setattr(optuna.study, "get_all_study_names", known_before_another_makes_it)
        with pytest.raises(InputError, match=sentence):
            make(url, seed=1, load_if_exists=asked)
        assert load_study("iris", url).definition == make(None, sampler="tpe").definition
        optuna.delete_study(study_name="iris", storage=url)


def test_the_best_model_is_judged_on_rows_apart_from_the_search(url: str) -> None:
    data = load_iris()
    task = Task.from_arrays(data.data, data.target, test_fraction=0.4)
    study = make(url, task=task)
    study.optimize(n_trials=2)
    *_, apart = split(data.target, 0, validation_fraction=0.2, test_fraction=0.4)
    model = study.best_model()
    known = {name: model.score(data.data[apart], data.target[apart], metric=name) for name in ("log_loss", "accuracy")}
    assert {name: study.test_metrics()[name] for name in known} == pytest.approx(known)
    assert study.test_metrics()["log_loss"] != study.best_value


def test_a_task_without_a_test_part_has_no_test_metrics() -> None:
    study = make(None)
    study.optimize(n_trials=1)
    with pytest.raises(ValueError, match="got a task without a test part"):
        study.test_metrics()


@pytest.mark.slow
def test_workers_that_are_interrupted_leave_no_trial_running_and_lose_none(url: str) -> None:
    heard: list[int] = []

    def interrupt(study: optuna.Study, trial: FrozenTrial) -> None:
        heard.append(trial.number)
        if len(heard) == 3:
            raise KeyboardInterrupt

    study = make(url)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(n_trials=50, n_workers=2, callbacks=[interrupt])
    trials = study.trials
    assert all(trials[number].state in (TrialState.COMPLETE, TrialState.PRUNED) for number in heard)
    assert TrialState.RUNNING not in [trial.state for trial in trials]
    interrupted = {trial.number for trial in trials if trial.state == TrialState.FAIL}
    assert interrupted == retried_numbers(trials)
    assert len(interrupted) == sum(trial.state == TrialState.WAITING for trial in trials)


@pytest.mark.slow
def test_workers_that_start_too_late_for_the_timeout_are_told_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    study = make(url)
    study.optimize(timeout=0.01, n_workers=2)
    assert study.trials == []
    assert [record.message for record in caplog.records] == [
        "no trial was started: the workers had not started within 0.01 seconds"
    ]


def test_trials_that_others_run_count_towards_the_total(url: str) -> None:
    study = make(url, sampler="random")

    def join(_: optuna.Study, trial: FrozenTrial) -> None:
        if trial.number == 0:
            load_study("iris", url, stream=1).optimize(n_trials=2)

    study.optimize(n_trials=4, callbacks=[join], n_total=4)
    assert study.n_finished == 4


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2])
def test_no_process_overshoots_the_total_when_another_starts_the_last_trial(
    n_workers: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make(url, sampler="random")
    study.optimize(n_trials=1)
    count, others = Study.n_started, list[optuna.Trial]()

    def count_then_start_another(self: Study, first: int = 0) -> int:
        counted = count(self, first)
        if not others:  # the moment between this process's look at the study and its trial
            others.append(study.optuna.ask())
        return counted

    monkeypatch.setattr(Study, "n_started", count_then_start_another)
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        study.optimize(n_trials=1, n_workers=n_workers, n_total=2)
    states = [trial.state for trial in study.trials]
    assert states[:2] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert set(states[2:]) <= {TrialState.FAIL}
    assert count(study) == 2


def test_a_trial_that_a_dead_process_left_running_takes_nothing_from_a_later_session(url: str) -> None:
    study = make(url, sampler="random")
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        study.optuna.ask()
    study.optimize(n_trials=2, n_total=2)
    assert study.n_finished == 2


def test_callbacks_hear_of_every_trial_and_may_stop_the_study() -> None:
    study = make(None)
    heard: list[int] = []

    def stop_at_two(raw: optuna.Study, trial: FrozenTrial) -> None:
        heard.append(trial.number)
        if len(heard) == 2:
            raw.stop()

    study.optimize(n_trials=9, callbacks=[stop_at_two])
    assert heard == [0, 1]


@pytest.mark.slow
def test_callbacks_stop_worker_processes_too_once_their_running_trials_are_done(url: str) -> None:
    study = make(url, sampler="random")
    study.optimize(n_trials=40, n_workers=2, callbacks=[lambda raw, trial: raw.stop()])
    assert 1 <= study.n_finished <= 4
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("nasbot", "nao", "gp")])
def test_every_named_sampler_runs_on_the_same_space(sampler: str) -> None:
    study = make(None, sampler=sampler, settings=TrainerSettings(max_epochs=1))
    study.optimize(n_trials=2)
    assert study.best_candidate == study.space.decode(study.best_trial.params)


def test_an_optuna_sampler_goes_on_with_new_draws_in_a_later_session(url: str) -> None:
    make(url, sampler="random").optimize(n_trials=1)
    load_study("iris", url).optimize(n_trials=1)
    first, second = load_study("iris", url).trials
    assert first.params != second.params


def test_any_optuna_sampler_can_be_given(url: str) -> None:
    make(url, sampler=optuna.samplers.NSGAIISampler(seed=0)).optimize(n_trials=1)
    with pytest.raises(InputError, match="was made with a sampler object"):
        load_study("iris", url).optimize(n_trials=1)
    load_study("iris", url, sampler=optuna.samplers.RandomSampler(seed=0)).optimize(n_trials=1)
    assert load_study("iris", url).n_finished == 2


def test_arrays_are_saved_beside_the_storage_so_that_others_can_load_them(url: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 3))
    task = Task.from_arrays(X, X[:, 0] - X[:, 1])
    make(url, "mine", task=task)
    study = load_study("mine", url)
    study.optimize(n_trials=1)
    assert study.task == task
    assert len(list((tmp_path / "studies.tasks").iterdir())) == 1


def test_a_study_in_memory_works_with_arrays_and_without_files() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    study = make(None, "mine", task=Task.from_arrays(X, X[:, 0]))
    study.optimize(n_trials=1)
    assert isinstance(study.best_model(), Model)


def test_going_on_with_another_sampler_is_no_other_study(url: str) -> None:
    make(url, sampler="random").optimize(n_trials=1)
    make(url, sampler="tpe", load_if_exists=True).optimize(n_trials=1)
    assert load_study("iris", url).definition.sampler == "tpe"


def test_a_study_that_optuna_made_is_told_apart(url: str) -> None:
    make(url)
    optuna.create_study(study_name="plain", storage=url)
    with pytest.raises(InputError, match="study 'plain' has no 'automl:definition' attribute"):
        load_study("plain", url)
