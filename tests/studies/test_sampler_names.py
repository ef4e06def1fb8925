"""Samplers and pruners by name."""

from __future__ import annotations

import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from automl.errors import InputError
from studies.sampler_names import PRUNERS, SAMPLERS, PeriodicPruner, check_names, make_pruner, make_sampler
from tests.contracts.small_spaces import ChainSpace

OPTUNAS = ("random", "tpe", "gp", "cmaes", "nsgaii")


class Always(BasePruner):
    """Stops every trial, and notes when it was asked."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        self.asked.append(trial.last_step)
        return True


def test_a_periodic_pruner_asks_from_its_start_on_at_its_interval() -> None:
    study, always = optuna.create_study(), Always()
    pruner = PeriodicPruner(always, start=3, interval=2)
    answers = []
    for epoch in range(1, 8):
        curve = {step: 0.0 for step in range(1, epoch + 1)}
        trial = optuna.create_trial(state=TrialState.RUNNING, intermediate_values=curve)
        answers.append(pruner.prune(study, trial))
    assert answers == [False, False, True, False, True, False, True]
    assert always.asked == [3, 5, 7]


@pytest.mark.parametrize(("name", "pruned"), [("quartile", False), ("median", True), ("none", False)])
def test_a_trial_a_little_worse_than_half_of_all_is_stopped_by_the_median_alone(name: str, pruned: bool) -> None:
    study = optuna.create_study(direction="minimize", pruner=make_pruner(name))
    for loss in range(8):
        curve = {epoch: float(loss) for epoch in range(1, 11)}
        study.add_trial(optuna.create_trial(value=float(loss), intermediate_values=curve))
    trial = study.ask()
    for epoch in range(1, 11):
        trial.report(4.0, epoch)
        assert epoch == 10 or not trial.should_prune()
    assert trial.should_prune() == pruned


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_name_makes_a_sampler(name: str) -> None:
    assert isinstance(make_sampler(name, ChainSpace(), 0, 0, 0), optuna.samplers.BaseSampler)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_name_makes_a_pruner(name: str) -> None:
    assert isinstance(make_pruner(name), BasePruner)


@pytest.mark.parametrize("name", [name for name in OPTUNAS if name != "gp"])
def test_workers_and_later_sessions_draw_from_streams_of_their_own(name: str) -> None:
    def first_draw(n_trials: int, stream: int) -> float:
        study = optuna.create_study(sampler=make_sampler(name, ChainSpace(), 7, n_trials, stream))
        return study.ask().suggest_float("x", 0, 1)

    assert first_draw(0, 0) == first_draw(0, 0)
    assert len({first_draw(0, 0), first_draw(1, 0), first_draw(0, 1)}) == 3


@pytest.mark.parametrize(("sampler", "pruner", "word"), [("nasbott", None, "nasbot"), (None, "quartil", "quartile")])
def test_an_unknown_name_is_told_with_the_nearest(sampler: str | None, pruner: str | None, word: str) -> None:
    with pytest.raises(InputError, match=f"did you mean '{word}'"):
        check_names(sampler, pruner)
