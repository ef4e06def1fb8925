"""Values and parameters of finished trials: read alike, whatever the storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage, get_storage

from studies import finished_trials as module
from studies.finished_trials import asked_for, finished_trials, n_finished
from studies.history import trial_values
from studies.storage import open_storage

Direction = Literal["minimize", "maximize"]


pytestmark = pytest.mark.usefixtures("quiet_optuna")


def eventful(trial: optuna.Trial) -> float:
    """Completes, fails, is infinite, or is pruned with or without anything finite reported."""
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    depth = trial.suggest_int("depth", 1, 9)
    trial.suggest_categorical("kind", ["a", None, 3, 0.5])
    if depth > 4:
        trial.suggest_float("dropout", 0.0, 0.9, step=0.1)
    match trial.number % 7:
        case 2:
            raise RuntimeError("as networks do")
        case 3:
            return float("inf")
        case 4 | 5:
            trial.report(float("nan") if trial.number % 7 == 5 else rate, 0)
            trial.report(float("-inf"), 1)
            trial.report(float("nan") if trial.number % 7 == 5 else depth, 2)
            raise optuna.TrialPruned
    return rate


def study(storage: BaseStorage | str, direction: Direction = "minimize", n: int = 16) -> optuna.Study:
    optuna.create_study(storage=storage, study_name="other", sampler=RandomSampler(seed=1)).optimize(
        eventful, n_trials=5, catch=(RuntimeError,)
    )
    found = optuna.create_study(storage=storage, study_name="past", direction=direction, sampler=RandomSampler(seed=0))
    found.optimize(eventful, n_trials=n, catch=(RuntimeError,))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "direction"), [("plain", "minimize"), ("cached", "maximize"), ("shared", "minimize")])
def test_a_database_answers_as_trials_do_that_optuna_has_built(kind: str, direction: Direction, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'past.db'}"
    make: dict[str, Callable[[str], BaseStorage]] = {"plain": RDBStorage, "cached": get_storage, "shared": open_storage}
    opened = make[kind](url)
    past = study(opened, direction)
    found = finished_trials(opened, past._study_id)
    sign = -1.0 if direction == "maximize" else 1.0
    known = [(trial, values) for trial in past.trials if (values := trial_values(trial, past.directions)) is not None]
    assert 0 < len(known) < len(past.trials)
    np.testing.assert_array_equal(found.losses, [sign * values[0] for _, values in known])
    places = [len(known) - 1, 0, 3]
    assert found.params(places) == [known[place][0].params for place in places]
    assert n_finished(opened, past._study_id) == sum(trial.state.is_finished() for trial in past.trials) - sum(
        trial.state == optuna.trial.TrialState.FAIL for trial in past.trials
    )


def test_a_database_and_memory_agree(tmp_path: Path) -> None:
    storages = [InMemoryStorage(), open_storage(f"sqlite:///{tmp_path / 'past.db'}")]
    ids = [study(storage)._study_id for storage in storages]
    first, second = (finished_trials(*pair) for pair in zip(storages, ids, strict=True))
    np.testing.assert_array_equal(first.losses, second.losses)
    assert first.params(range(len(first.losses))) == second.params(range(len(second.losses)))
    assert asked_for(storages[0], ids[0]) == asked_for(storages[1], ids[1])
    assert n_finished(storages[0], ids[0]) == n_finished(storages[1], ids[1])


def test_more_trials_than_one_query_takes_are_read_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_AT_A_TIME", 4)
    past = study(f"sqlite:///{tmp_path / 'past.db'}", n=9)
    found = finished_trials(past._storage, past._study_id)
    everything = found.params(range(len(found.losses)))
    assert [params["rate"] for params in everything if "rate" in params] == [
        trial.params["rate"] for trial in past.trials if trial_values(trial, past.directions) is not None
    ]


def test_a_study_that_vanished_is_missed(tmp_path: Path) -> None:
    for storage in (InMemoryStorage(), open_storage(f"sqlite:///{tmp_path / 'past.db'}")):
        past = study(storage, n=3)
        storage.delete_study(past._study_id)
        with pytest.raises(KeyError):
            n_finished(storage, past._study_id)
        with pytest.raises(KeyError):
            finished_trials(storage, past._study_id)
