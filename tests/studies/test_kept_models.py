"""The models that studies keep: which, where, and what happens where they are gone."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import torch
from optuna.trial import TrialState

from automl.task import load_task
from studies.kept_models import model_folder, remove_beaten_models
from studies.study import load_study
from tests.studies.small_studies import IRIS, make, values


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


def test_beaten_models_go_and_those_of_the_best_and_of_running_trials_stay(tmp_path: Path) -> None:
    study = optuna.create_study()
    for number in range(5):
        folder = model_folder(tmp_path, number)
        folder.mkdir()
        (folder / "weights").write_text("of some network")
    for state in (TrialState.FAIL, TrialState.PRUNED):
        study.add_trial(optuna.create_trial(state=state))
    remove_beaten_models(tmp_path, study)
    assert len(list(tmp_path.iterdir())) == 5, "nothing is beaten before a trial is complete"
    for value in (0.5, 0.3):
        study.add_trial(optuna.create_trial(value=value))
    study.ask()
    remove_beaten_models(tmp_path, study)
    assert {path.name for path in tmp_path.iterdir()} == {"trial-3", "trial-4"}


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
