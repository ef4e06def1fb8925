"""Studies from creation to the model in the user's hands, on real data with short trainings."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import optuna
import pytest
import sqlalchemy
import torch
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from automl.errors import InputError
from automl.model import Model
from automl.parameters import Float
from automl.spaces.mlp import MLPSpace
from automl.task import Task, load_task
from automl.trainer import TrainerSettings
from studies.attributes import REASON, RETRY_HISTORY, retried_numbers
from studies.sampler_names import SAMPLERS
from studies.study import Study, create_study, load_study

IRIS = load_task("iris")
SPACE = MLPSpace(max_layers=2)
SETTINGS = TrainerSettings(max_epochs=2)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'studies.db'}"


def make(url: str | None, name: str = "iris", **changes: object) -> Study:
    """A study of small networks on iris."""
    arguments = {"task": IRIS, "space": SPACE, "settings": SETTINGS, "sampler": "evolution", **changes}
    return create_study(name, storage=url, **arguments)  # type: ignore[arg-type]  # tests name the arguments themselves


def values(study: Study) -> list[float | None]:
    return [trial.value for trial in study.trials]


class InterruptAt(BasePruner):
    """Presses Ctrl-C in the first epoch of one trial."""

    def __init__(self, number: int) -> None:
        self.number = number

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if trial.number == self.number:
            raise KeyboardInterrupt
        return False


def test_a_name_and_a_url_are_enough_to_go_on_with_a_study(url: str) -> None:
    make(url, pruner="none").optimize(n_trials=2)
    again = load_study("iris", url)
    again.optimize(n_trials=2)
    whole = make(None, pruner="none")
    whole.optimize(n_trials=4)
    assert values(again) == values(whole)
    assert (again.task, again.settings, again.space) == (IRIS, SETTINGS, whole.space)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
def test_the_best_model_is_kept_and_scores_the_best_value(url: str, tmp_path: Path, metric: str) -> None:
    study = make(url, task=load_task("iris", metric=metric))
    study.optimize(n_trials=3)
    assert len(set(values(study))) > 1
    kept = [path.name for path in (tmp_path / "studies.models" / "iris").iterdir()]
    assert kept == [f"trial-{study.best_trial.number}"]
    model = load_study("iris", url).best_model()
    outputs = model.module(torch.from_numpy(IRIS.validation.inputs)).detach().numpy()
    assert study.task.score(outputs, study.task.validation) == pytest.approx(study.best_value, rel=1e-6)
    assert model.candidate == study.best_candidate


def test_a_best_model_whose_weights_are_gone_is_trained_again_to_the_same_value() -> None:
    study = make(None)
    study.optimize(n_trials=2)
    assert study.best_model().evaluation.value == study.best_value


def test_the_model_of_a_study_of_the_same_name_in_another_storage_is_not_taken_for_its_own(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    study, other = make(url), make(url + "3", task=load_task("wine"))  # files whose models lie in one folder
    study.optimize(n_trials=1)
    other.optimize(n_trials=1)
    model = study.best_model()
    assert (model.task_digest, model.evaluation.value) == (IRIS.digest, study.best_value)
    assert "the weights of trial 0 were not kept" in caplog.text


def test_a_trial_whose_model_cannot_be_kept_counts_all_the_same(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("no folder can be made in here")
    study = make(url, models_dir=tmp_path / "taken" / "models")
    study.optimize(n_trials=1)
    assert study.best_model().evaluation.value == study.best_value
    assert "a model is not kept" in caplog.text


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
        InputError, match=r"storage failed \(database or disk is full\), expected .* run the study again"
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


REFUSALS: list[tuple[Callable[[str], object], str]] = [
    (lambda url: make(url), "a study named 'iris' exists already in this storage; pass load_if_exists=True"),
    (
        lambda url: make(url, task=load_task("wine"), load_if_exists=True),
        "study 'iris' was made with the task iris, got the task wine;",
    ),
    (lambda url: make(url, ""), "got an empty name for the study"),
    (
        lambda url: make(url, space=MLPSpace(max_layers=4), load_if_exists=True),
        "made with max_layers 2, got max_layers 4",
    ),
    (
        lambda url: make(url, settings=TrainerSettings(max_epochs=9), load_if_exists=True),
        "made with max_epochs 2, got max_epochs 9",
    ),
    (lambda url: make(url, seed=1, load_if_exists=True), "made with the seed 0, got the seed 1"),
    (
        lambda url: make(url, "new", sampler="nasbt"),
        "got the sampler 'nasbt', expected one of .* did you mean 'nasbot'",
    ),
    (lambda url: make(url, "new", pruner="medan"), "got the pruner 'medan', expected one of"),
    (lambda url: make("nonsense"), "got the storage URL 'nonsense', expected one such as"),
    (lambda url: make("sqlite:////nowhere/at/all.db"), "which cannot be opened .*check the path"),
    (lambda url: load_study("iris", url.replace("studies", "others")), "whose file .*others.db' does not exist"),
    (lambda url: load_study("irs", url), "got the study 'irs', which this storage lacks; it has 'iris'"),
    (lambda url: load_study("iris", url).optimize(n_trials=-1), "got n_trials = -1, expected 0 or more"),
    (lambda url: load_study("iris", url).optimize(n_trials=2.5), "got n_trials = 2.5, expected a whole number"),  # type: ignore[arg-type]  # the mistake under test
    (lambda url: load_study("iris", url).optimize(timeout="x"), "got timeout = 'x', expected a number of seconds"),  # type: ignore[arg-type]  # the same
    (lambda url: load_study("iris", url).optimize(timeout=-1.0), r"got a timeout of -1.0 seconds"),
    (lambda url: load_study("iris", url).optimize(1, n_workers=0), "got n_workers = 0, expected at least 1"),
    (lambda url: make(None, "new").optimize(1, n_workers=2), "lives in this process's memory"),
    (
        lambda url: load_study("iris", url, sampler=optuna.samplers.RandomSampler()).optimize(1, n_workers=2),
        "has a sampler or pruner object, which worker processes cannot be given",
    ),
    (lambda url: load_study("iris", url).best_value, r"study 'iris' has no completed trial \(0 failed\)"),
]


@pytest.fixture(scope="module")
def shared_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A storage with one study, which no test changes."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'studies.db'}"
    make(url)
    return url


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("task", "iris"),
        ("space", "mlp"),
        ("sampler", None),
        ("pruner", None),
        ("settings", {"max_epochs": 3}),
        ("seed", None),
        ("seed", 1.5),
        ("transfer_from", (optuna.create_study,)),
    ],
)
def test_arguments_of_another_type_are_refused_before_a_study_is_written(
    url: str, argument: str, value: object
) -> None:
    given: dict[str, Any] = {"task": load_task("iris"), "storage": url, argument: value}
    with pytest.raises(InputError, match=f"got {argument} = .*, expected "):
        create_study("new", **given)
    assert not optuna.get_all_study_names(url)


def test_a_seed_may_be_one_of_numpys_integers(url: str) -> None:
    make(url, seed=np.int64(3))
    assert load_study("iris", url).definition.seed == 3


def test_one_past_study_may_be_named_by_itself() -> None:
    study = create_study("new", task=load_task("iris"), storage=None, transfer_from="wine")
    assert study.definition.transfer_from == ("wine",)


@pytest.mark.parametrize(("use", "sentence"), REFUSALS)
def test_what_cannot_be_done_is_said_in_one_sentence(
    shared_url: str, use: Callable[[str], object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        use(shared_url)


def test_going_on_with_another_sampler_is_no_other_study(url: str) -> None:
    make(url, sampler="random").optimize(n_trials=1)
    make(url, sampler="tpe", load_if_exists=True).optimize(n_trials=1)
    assert load_study("iris", url).definition.sampler == "tpe"


def test_a_study_that_optuna_made_is_told_apart(url: str) -> None:
    make(url)
    optuna.create_study(study_name="plain", storage=url)
    with pytest.raises(InputError, match="study 'plain' has no 'automl:definition' attribute"):
        load_study("plain", url)


def test_hyperparameters_that_the_trainer_does_not_know_are_told(caplog: pytest.LogCaptureFixture) -> None:
    create_study("known", task=load_task("iris"), storage=None)
    assert not caplog.records
    space = MLPSpace(hyperparameters={"lr": Float(1e-3, 1e-1, log=True)})
    create_study("unknown", task=load_task("iris"), space=space, storage=None)
    assert "no effect on it ('lr'), expected some of 'learning_rate', " in caplog.text
