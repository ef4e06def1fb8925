"""TransferSampler: learns from past studies of any kind, never writes to them, and is its base without them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from automl.observations import Observations
from automl.parameters import Float
from automl.proposers import transfer_knowledge
from automl.proposers.transfer import TransferSettings
from automl.proposers.transfer_pool import TransferPoolSettings
from automl.proposers.uniform import UniformProposer
from automl.scales import normal_scores
from automl.surrogates.ablr import ABLRSettings
from automl.surrogates.transfer_prior import TransferPriorSettings, fit_transfer_prior
from automl.task import load_task
from automl.trainer import TrainerSettings
from studies.attributes import PROPOSAL, TRANSFER
from studies.objective import suggest
from studies.past_studies import PastStudies, SourceStudy
from studies.proposer_sampler import ProposerSampler
from studies.samplers import RegularisedEvolutionSampler
from studies.storage import open_storage
from studies.study import create_study, load_study
from studies.transfer import TransferSampler
from tests.contracts.small_spaces import ChainSpace

BRIEF = TransferSettings(
    prior=TransferPriorSettings(
        n_networks=1, n_folds=2, fold_iterations=10, ablr=ABLRSettings(width=12, max_iterations=25, weight_decay=0.1)
    ),
    pool=TransferPoolSettings(n_random=60, n_edited=20),
)
Objective = Callable[[optuna.Trial], float]


pytestmark = pytest.mark.usefixtures("quiet_optuna")


def bowl(trial: optuna.Trial) -> float:
    """Best at a rate of 0.01, a depth of 6, and kind b."""
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    depth = trial.suggest_int("depth", 1, 9)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return float((np.log10(rate) + 2) ** 2 + 0.1 * (depth - 6) ** 2 + (kind == "a"))


def past(
    storage: optuna.storages.BaseStorage,
    name: str,
    *,
    seed: int = 0,
    objective: Objective = bowl,
    direction: Literal["minimize", "maximize"] = "minimize",
    n: int = 20,
) -> optuna.Study:
    study = optuna.create_study(storage=storage, study_name=name, sampler=RandomSampler(seed=seed), direction=direction)
    study.optimize(objective, n_trials=n, catch=(RuntimeError,))
    return study


def search(
    sources: Sequence[SourceStudy],
    storage: optuna.storages.BaseStorage,
    *,
    n: int = 4,
    objective: Objective = bowl,
    base: BaseSampler | None = None,
    search_space: dict[str, BaseDistribution] | None = None,
) -> optuna.Study:
    sampler = TransferSampler(sources, seed=0, base_sampler=base, settings=BRIEF, search_space=search_space)
    study = optuna.create_study(storage=storage, study_name="target", sampler=sampler)
    study.optimize(objective, n_trials=n, catch=(RuntimeError,))
    return study


def models(study: optuna.Study) -> list[str]:
    return [trial.system_attrs.get(TRANSFER, {}).get("model", "none") for trial in study.trials]


def test_the_first_trial_of_a_plain_study_is_among_the_best_of_its_sources() -> None:
    storage = InMemoryStorage()
    first, second = past(storage, "first"), past(storage, "second", seed=1)
    study = search([first, "second"], storage)
    assert models(study) == ["transfer"] * 4
    every = sorted(trial.value or 0.0 for source in (first, second) for trial in source.trials)
    assert (study.trials[0].value or 0.0) < every[10]
    assert study.trials[0].system_attrs[PROPOSAL]["notes"]["transfer"]["sources"] == ["first", "second"]


def test_a_guess_that_the_objective_did_not_ask_for_is_told_as_the_base_s_trial() -> None:
    storage = InMemoryStorage()
    past(storage, "first")
    study = search(["first"], storage, objective=lambda trial: trial.suggest_float("of its own", 0, 1), n=1)
    told = study.trials[0].system_attrs
    assert told[TRANSFER]["model"] == "base"
    assert "asks for nothing that past studies searched" in told[TRANSFER]["reason"]
    assert told[PROPOSAL]["params"] == {}
    assert "origin" not in told[PROPOSAL]["notes"]


def test_a_guess_stands_where_the_objective_failed_before_it_asked() -> None:
    def failing(trial: optuna.Trial) -> float:
        raise RuntimeError("before any parameter")

    storage = InMemoryStorage()
    past(storage, "first")
    assert models(search(["first"], storage, objective=failing, n=1)) == ["transfer"]


def test_sources_are_never_written_to() -> None:
    storage = InMemoryStorage()
    source = past(storage, "first")
    before = source.trials, source.user_attrs
    search(["first"], storage)
    assert (source.trials, source.user_attrs) == before


@pytest.mark.parametrize("make", [lambda: TPESampler(seed=3, n_startup_trials=3), lambda: RandomSampler(seed=3)])
@pytest.mark.parametrize("sources", [["missing"], ["none-*"], ["empty"], ["all"]])
def test_without_a_usable_source_it_is_bit_identical_to_its_base(
    make: Callable[[], BaseSampler], sources: list[str]
) -> None:
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="empty")
    study = search(sources, storage, n=8, base=make())
    plain = optuna.create_study(sampler=make())
    plain.optimize(bowl, n_trials=8)
    assert [trial.params for trial in study.trials] == [trial.params for trial in plain.trials]
    assert [trial.system_attrs for trial in study.trials] == [trial.system_attrs for trial in plain.trials]


def test_what_past_studies_asked_for_is_in_the_order_in_which_a_study_s_own_search_space_is_inferred() -> None:
    study = optuna.create_study(study_name="past", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("y", 0, 1) + trial.suggest_float("x", 0, 1), n_trials=3)
    target = optuna.create_study(storage=study._storage, study_name="target")
    inferred = optuna.search_space.intersection_search_space(study.trials)
    assert list(PastStudies(["past"]).distributions(target).items()) == list(inferred.items())


def test_names_globs_and_all_find_studies_but_never_the_target() -> None:
    storage = InMemoryStorage()
    for name in ("mnist-1", "mnist-2", "digits"):
        past(storage, name, n=4)
    target = optuna.create_study(storage=storage, study_name="mnist-target")
    found = {
        pattern: [task.name for task in PastStudies([pattern]).tasks(target)]
        for pattern in ("digits", "mnist-*", "all")
    }
    assert found == {
        "digits": ["digits"],
        "mnist-*": ["mnist-1", "mnist-2"],
        "all": ["mnist-1", "mnist-2", "digits"],
    }


def test_a_database_that_is_opened_once_more_holds_neither_new_sources_nor_the_target(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    source = past(open_storage(url), "past", n=4)
    target = optuna.create_study(storage=url, study_name="target")
    target.optimize(bowl, n_trials=2)
    sources: list[SourceStudy] = [source, optuna.load_study(study_name="past", storage=url), "all"]
    assert [task.name for task in PastStudies(sources, storage=open_storage(url)).tasks(target)] == ["past"]


def test_a_study_of_ours_is_a_source_even_where_its_sampler_is_known_to_its_maker_alone(tmp_path: Path) -> None:
    url, brief = f"sqlite:///{tmp_path / 'studies.db'}", TrainerSettings(max_epochs=1)
    made = create_study("ours", task=load_task("iris"), sampler=RandomSampler(seed=0), settings=brief, storage=url)
    made.optimize(n_trials=1)
    (task,) = PastStudies([load_study("ours", url)]).tasks(optuna.create_study())
    assert task.candidates == (made.best_candidate,)


def test_a_maximised_source_is_read_as_losses_and_values_that_are_not_finite_are_left_out() -> None:
    storage = InMemoryStorage()

    def score(trial: optuna.Trial) -> float:
        value = -bowl(trial)
        if trial.number == 3:
            raise RuntimeError("diverged")
        return float("-inf") if trial.number == 5 else value

    past(storage, "scores", objective=score, direction="maximize")
    task = PastStudies(["scores"]).tasks(optuna.create_study(storage=storage))[0]
    assert len(task) == 18
    assert task.losses.min() >= 0.0


def test_a_source_of_several_objectives_is_told_once_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="both", directions=["minimize", "maximize"])
    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        search(["both"], storage, n=3)
    assert [record.getMessage() for record in caplog.records] == [
        "nothing is learnt from study 'both': it has 2 objectives, expected one."
    ]


@pytest.mark.parametrize(
    ("objective", "n", "reason"),
    [
        (bowl, 0, "it has no finished trial, or is no longer there"),
        (lambda trial: float("inf") * bowl(trial), 5, "none of its 5 finished trials has a finite value"),
        (lambda trial: 0.0 * bowl(trial), 5, "all its 5 evaluations are worth the same"),
    ],
)
def test_a_source_without_anything_to_learn_from_is_told_once(
    objective: Objective, n: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = InMemoryStorage()
    past(storage, "void", objective=objective, n=n)
    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        study = search(["void"], storage, n=6)
    assert models(study) == ["none"] * 6
    assert len(caplog.records) == 1
    assert f"nothing is learnt from study 'void': {reason}" in caplog.records[0].getMessage()


def test_a_single_source_takes_turns_with_the_base_until_it_can_be_judged() -> None:
    storage = InMemoryStorage()
    study = search([past(storage, "only")], storage, n=4)
    assert models(study) == ["transfer", "base", "transfer", "base"]


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_values_of_any_size_are_learnt_from(size: float, caplog: pytest.LogCaptureFixture) -> None:
    storage = InMemoryStorage()
    sources = [past(storage, "first"), past(storage, "second", seed=1)]
    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        study = search(sources, storage, n=6, objective=lambda trial: size * bowl(trial))
    assert not caplog.records
    assert "none" not in models(study)


def test_a_source_that_vanishes_between_trials_is_no_obstacle(caplog: pytest.LogCaptureFixture) -> None:
    storage = InMemoryStorage()
    sources = [past(storage, "kept", n=8), past(storage, "gone", seed=1, n=8)]

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 3:
            optuna.delete_study(study_name="gone", storage=storage)
        return bowl(trial)

    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        study = search(sources, storage, n=7, objective=objective)
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 7
    assert sum("'gone'" in record.getMessage() for record in caplog.records) == 1
    assert study.trials[6].system_attrs[TRANSFER]["sources"] == ["kept"]


def test_parameters_that_differ_in_range_kind_and_name_are_no_obstacle() -> None:
    def other(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-6, 10.0, log=True)
        trial.suggest_float("momentum", 0.0, 1.0)
        kind = trial.suggest_categorical("kind", ["b", "c"])
        if kind == "c":
            trial.suggest_int("only-with-c", 0, 3)
        return float((np.log10(rate) + 2) ** 2)

    def asks_for_more(trial: optuna.Trial) -> float:
        step = trial.suggest_float("step", 0.0, 1.0, step=0.25)
        depth_twice = trial.suggest_int("even", 2, 10, step=2)
        return bowl(trial) + step + depth_twice

    storage = InMemoryStorage()
    past(storage, "other", objective=other)
    past(storage, "same", seed=1)
    study = search(["all"], storage, n=8, objective=asks_for_more)
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 8
    assert "transfer" in models(study)
    optuna.copy_study(from_study_name="target", from_storage=storage, to_storage=InMemoryStorage())


def test_sources_are_learnt_from_once_for_as_long_as_they_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []

    def counted(*args: Any, **settings: Any) -> Any:
        fits.append(len(args[0]))
        return fit_transfer_prior(*args, **settings)

    monkeypatch.setattr(transfer_knowledge, "fit_transfer_prior", counted)
    storage = InMemoryStorage()
    first = past(storage, "first")
    study = search([first, past(storage, "second", seed=1)], storage, n=7)
    assert fits == [2]
    first.optimize(bowl, n_trials=1)
    study.optimize(bowl, n_trials=5)
    assert fits == [2, 2]


def test_sources_are_looked_up_anew_in_another_storage_whatever_the_target_s_name() -> None:
    sampler = TransferSampler(["past-*"], seed=0, base_sampler=RandomSampler(seed=0), settings=BRIEF)
    sources = []
    for number in range(2):
        storage = InMemoryStorage()
        past(storage, f"past-{number}", n=8)
        study = optuna.create_study(storage=storage, study_name="target", sampler=sampler)
        study.optimize(bowl, n_trials=1)
        sources.append(study.trials[0].system_attrs[TRANSFER]["sources"])
    assert sources == [["past-0"], ["past-1"]]


def test_a_given_search_space_is_searched_from_the_first_trial() -> None:
    storage = InMemoryStorage()

    def line(trial: optuna.Trial) -> float:
        return abs(trial.suggest_float("x", 0.0, 1.0) - 0.7)

    past(storage, "line", objective=line)
    study = search(["line"], storage, n=2, objective=line, search_space={"x": FloatDistribution(0.0, 1.0)})
    assert set(study.trials[0].system_attrs[PROPOSAL]["params"]) == {"x"}
    assert (study.trials[0].value or 0.0) < 0.3


def shared(storage: optuna.storages.BaseStorage, shift: float, name: str) -> optuna.Study:
    """A past study that evaluated the same eight configurations as its kin, each at its own distance from `shift`."""
    study = optuna.create_study(storage=storage, study_name=name)
    for place in range(8):
        study.enqueue_trial({"rate": 10.0 ** (-place / 2), "depth": 1 + place, "kind": "ab"[place % 2]})
    study.optimize(lambda trial: bowl(trial) + shift * trial.number, n_trials=8)
    return study


@pytest.mark.parametrize("method", ["portfolio", "empirical", "pmf"])
def test_candidates_that_past_studies_share_are_proposed_again_the_best_first(
    method: Literal["portfolio", "empirical", "pmf"],
) -> None:
    storage = InMemoryStorage()
    pasts = [shared(storage, 0.02 * i, f"past-{i}") for i in range(4)]
    sampler = TransferSampler(["past-*"], seed=0, base_sampler=RandomSampler(seed=0), method=method)
    study = optuna.create_study(storage=storage, study_name="target", sampler=sampler)
    study.optimize(bowl, n_trials=10)
    known = [trial.params for trial in pasts[0].trials]
    assert models(study) == ["transfer"] * 8 + ["base"] * 2
    assert all(trial.params in known for trial in study.trials[:8])
    assert len({str(trial.params) for trial in study.trials}) == 10
    assert study.trials[0].value == min(trial.value or 0.0 for trial in pasts[0].trials)
    notes = [trial.system_attrs[TRANSFER] for trial in study.trials]
    assert notes[0]["sources"] == notes[9]["sources"] == [f"past-{i}" for i in range(4)]
    assert notes[9]["reason"] == "what past tasks offer has been tried"


def test_past_studies_that_share_no_candidates_leave_matrix_methods_to_the_base(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = InMemoryStorage()
    for seed in range(3):
        past(storage, f"past-{seed}", seed=seed)
    sampler = TransferSampler(["past-*"], seed=0, base_sampler=RandomSampler(seed=5), method="pmf")
    study = optuna.create_study(sampler=sampler, storage=storage, study_name="target")
    study.optimize(bowl, n_trials=3)
    plain = optuna.create_study(sampler=RandomSampler(seed=5))
    plain.optimize(bowl, n_trials=3)
    assert [trial.params for trial in study.trials] == [trial.params for trial in plain.trials]
    assert sum("shares too few candidates" in record.message for record in caplog.records) == 3  # once a source


def test_a_method_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="'portfolo', expected one of model, pmf, empirical, portfolio"):
        TransferSampler(["past"], method="portfolo")  # type: ignore[arg-type]  # the mistake under test


def test_queued_trials_are_run_as_they_are() -> None:
    storage = InMemoryStorage()
    past(storage, "first")
    study = search(["first"], storage, n=2)
    queued: dict[str, Any] = {"rate": 0.5, "depth": 2, "kind": "a"}
    study.enqueue_trial(queued)
    study.optimize(bowl, n_trials=1)
    assert study.trials[-1].params == queued


def test_a_target_of_several_objectives_is_left_to_the_base(caplog: pytest.LogCaptureFixture) -> None:
    storage = InMemoryStorage()
    past(storage, "first", n=5)
    sampler = TransferSampler(["first"], seed=0, base_sampler=RandomSampler(seed=1), settings=BRIEF)
    study = optuna.create_study(storage=storage, directions=["minimize", "minimize"], sampler=sampler)
    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        study.optimize(lambda trial: (bowl(trial), 0.0), n_trials=3)
    assert len(caplog.records) == 1
    assert len(study.trials) == 3


def chain_loss(trial: optuna.Trial) -> float:
    """Least for deep chains and a learning rate of 0.01."""
    candidate = suggest(trial, ChainSpace())
    assert candidate.architecture is not None
    return abs(float(np.log10(float(candidate.hyperparameters["learning_rate"]))) + 2) - candidate.architecture.depth


@pytest.mark.slow
def test_studies_of_networks_inform_one_another_through_a_database(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'studies.db'}")
    past(storage, "first", objective=chain_loss, n=15)
    past(storage, "second", seed=1, objective=chain_loss, n=15)
    base = RegularisedEvolutionSampler(ChainSpace(), seed=0)
    sampler = TransferSampler(["*"], space=ChainSpace(), base_sampler=base, seed=0, settings=BRIEF)
    study = optuna.create_study(storage=storage, study_name="target", sampler=sampler)
    study.optimize(chain_loss, n_trials=7)
    assert models(study)[:5] == ["transfer"] * 5
    assert all(trial.params == trial.system_attrs[PROPOSAL]["params"] for trial in study.trials[:5])


@dataclass(frozen=True)
class _Foretelling(UniformProposer):
    """Draws at random, and foretells every value almost surely."""

    def scores(self, observations: Observations) -> NDArray[np.float64]:
        return normal_scores(observations.values[:, 0])

    def leave_one_out_log_density(self, observations: Observations) -> NDArray[np.float64]:
        return np.full(len(observations), 99.0)


def test_studies_of_networks_give_way_to_a_base_whose_own_model_foretells_more() -> None:
    storage = InMemoryStorage()
    past(storage, "first", objective=chain_loss, n=15)
    past(storage, "second", seed=1, objective=chain_loss, n=15)
    base = ProposerSampler(_Foretelling(ChainSpace()), seed=0)
    sampler = TransferSampler(["*"], space=ChainSpace(), base_sampler=base, seed=0, settings=BRIEF)
    study = optuna.create_study(storage=storage, study_name="target", sampler=sampler)
    study.optimize(chain_loss, n_trials=7)
    assert models(study) == ["transfer"] * 5 + ["base"] * 2


def test_what_is_no_study_is_refused_before_the_first_trial() -> None:
    with pytest.raises(ValueError, match="got None as a source study"):
        TransferSampler([None])  # type: ignore[list-item]  # the mistake that is tested


def test_a_database_of_past_studies_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(ValueError, match="does not exist"):
        TransferSampler(["past"], storage=f"sqlite:///{missing}")
    assert not missing.exists()


@pytest.mark.parametrize(
    ("search_space", "message"),
    [
        (3, "got search_space = 3, expected the distribution of each parameter by name"),
        ({}, "got search_space = {}, expected the distribution of each parameter"),
        ({"x": (0, 1)}, r"got \(0, 1\) as the distribution of 'x', expected such as FloatDistribution"),
        ({"x": "float"}, "got 'float' as the distribution of 'x'"),
    ],
)
def test_a_search_space_without_distributions_is_refused(search_space: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransferSampler(["past"], search_space=search_space)


def test_a_search_space_may_be_of_our_parameters_and_one_source_stand_alone() -> None:
    source = optuna.create_study(sampler=RandomSampler(seed=0))
    source.optimize(plain_loss, n_trials=20)
    found = []
    for sources, ranges in (([source], {"x": FloatDistribution(0, 1)}), (source, {"x": Float(0, 1)})):
        study = optuna.create_study(sampler=TransferSampler(sources, search_space=ranges, seed=0))
        study.optimize(plain_loss, n_trials=3)
        assert models(study)[0] == "transfer"
        found.append([trial.params for trial in study.trials])
    assert found[0] == found[1]


def plain_loss(trial: optuna.Trial) -> float:
    return (trial.suggest_float("x", 0, 1) - 0.3) ** 2


def test_no_source_at_all_is_refused() -> None:
    for space in (None, ChainSpace()):
        with pytest.raises(ValueError, match="got 0 source studies, expected at least one"):
            TransferSampler([], space=space)
    with pytest.raises(ValueError, match="got both space and search_space"):
        TransferSampler(["past"], space=ChainSpace(), search_space={})
