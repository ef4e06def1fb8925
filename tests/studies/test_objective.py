"""What one trial does, with real trainings of small networks on iris."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from automl.model import Model
from automl.parameters import Value
from automl.spaces.mlp import MLPSpace
from automl.task import load_task
from automl.trainer import TrainerSettings
from studies.attributes import REASON, TrialFacts
from studies.kept_models import model_folder
from studies.objective import Objective, TrainingFailed, suggest
from studies.samplers import LocalSearchSampler

SPACE = MLPSpace(max_layers=2)
TASK = load_task("iris")
OBJECTIVE = Objective(TASK, SPACE, TrainerSettings(max_epochs=3), seed=0)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


class PruneAt(BasePruner):
    """Stops every trial at one epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return trial.last_step == self.epoch


def run(objective: Objective, n_trials: int = 1, pruner: BasePruner | None = None) -> optuna.Study:
    """A study of small networks with the objective."""
    study = optuna.create_study(
        direction="minimize", sampler=LocalSearchSampler(SPACE, seed=0), pruner=pruner or optuna.pruners.NopPruner()
    )
    study.optimize(objective, n_trials=n_trials, catch=(TrainingFailed,))
    return study


def test_a_completed_trial_tells_people_all_about_its_network_and_training() -> None:
    trial = run(OBJECTIVE).trials[0]
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    architecture = SPACE.decode(trial.params).architecture
    assert architecture is not None
    assert trial.state == TrialState.COMPLETE
    assert facts.architecture == architecture.to_dict()
    assert (facts.depth, facts.epochs) == (architecture.depth, 3)
    curve = [trial.intermediate_values[epoch] for epoch in (1, 2, 3)]
    assert facts.curve == tuple(curve)
    assert trial.value == min(curve) == facts.metrics["log_loss"]
    assert curve.index(min(curve)) + 1 == facts.best_epoch
    assert facts.parameters is not None and facts.parameters > 0
    assert facts.flops is not None and facts.flops > 0
    assert facts.seconds is not None and facts.proposal_seconds is not None


def test_the_same_trial_trains_to_the_same_value_in_another_study() -> None:
    assert run(OBJECTIVE).trials[0].value == run(OBJECTIVE).trials[0].value


def test_the_pruner_sees_every_epoch_and_stops_a_training() -> None:
    trial = run(OBJECTIVE, pruner=PruneAt(2)).trials[0]
    assert trial.state == TrialState.PRUNED
    assert list(trial.intermediate_values) == [1, 2]
    assert "pruner after epoch 2" in TrialFacts.from_user_attrs(trial.user_attrs).reason


def test_a_training_that_diverges_is_a_failed_trial_with_its_reason_and_the_study_goes_on() -> None:
    wild: dict[str, Value] = {"learning_rate": 1e30, "optimizer": "sgd"}

    class WildSpace(MLPSpace):
        def build(self, choose):  # type: ignore[no-untyped-def]  # as in MLPSpace
            return replace(super().build(choose), hyperparameters=wild)

    study = run(
        replace(OBJECTIVE, space=WildSpace(max_layers=2), settings=TrainerSettings(max_epochs=3, gradient_clip=None)), 2
    )
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
    assert "diverged in epoch" in study.trials[0].user_attrs[REASON]


def test_whatever_else_goes_wrong_in_a_trial_is_its_reason_too() -> None:
    class BrokenSpace(MLPSpace):
        def build(self, choose):  # type: ignore[no-untyped-def]  # as in MLPSpace
            return replace(super().build(choose), architecture=None)

    study = run(replace(OBJECTIVE, space=BrokenSpace(max_layers=2)))
    assert study.trials[0].state == TrialState.FAIL
    assert study.trials[0].user_attrs[REASON].startswith("ValueError: got a candidate without an architecture")


def test_only_a_trial_better_than_all_before_keeps_its_weights(tmp_path: Path) -> None:
    study = run(replace(OBJECTIVE, models_dir=tmp_path), 4)
    best_so_far = float("inf")
    for trial in study.trials:
        assert trial.value is not None
        assert model_folder(tmp_path, trial.number).exists() == (trial.value <= best_so_far)
        best_so_far = min(best_so_far, trial.value)
    model = Model.load(model_folder(tmp_path, study.best_trial.number))
    assert model.evaluation.value == study.best_value


def test_a_trial_asks_for_exactly_the_parameters_of_its_candidate() -> None:
    trial = run(OBJECTIVE).trials[0]
    assert trial.params == SPACE.encode(suggest(optuna.trial.FixedTrial(trial.params), SPACE))


def test_facts_survive_the_way_through_attributes() -> None:
    facts = TrialFacts(architecture={"labels": ["ip", "op"]}, depth=2, curve=(0.5, 0.25), metrics={"rmse": 0.25})
    assert TrialFacts.from_user_attrs({**facts.to_user_attrs(), "another": 1}) == facts
