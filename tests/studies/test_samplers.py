"""Samplers: Optuna's own acceptance cases, and what a proposer's sampler promises beyond them."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import pytest
import torch
from optuna.samplers import BaseSampler, GridSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
from optuna.trial import TrialState
from threadpoolctl import threadpool_info, threadpool_limits

from automl.observations import Observations
from automl.proposers.base import Proposal
from automl.proposers.combined import CombinedProposer
from automl.proposers.evolution import EvolutionProposer
from automl.proposers.nao import LatentSearch
from automl.proposers.uniform import UniformProposer
from automl.spaces.mlp import MLPSpace
from automl.surrogates.nao import NAOSettings
from automl.torch_threads import limited_threads
from studies.attributes import PROPOSAL
from studies.distributions import to_distributions
from studies.objective import suggest
from studies.proposer_sampler import ProposerSampler
from studies.samplers import (
    CombinedSampler,
    LocalSearchSampler,
    NAOSampler,
    NASBOTSampler,
    RegularisedEvolutionSampler,
)
from studies.storage import open_storage
from studies.transfer import TransferSampler
from tests.contracts.small_spaces import ChainSpace, ListedSpace

SPACE = ChainSpace()


pytestmark = pytest.mark.usefixtures("quiet_optuna")


def loss(trial: optuna.Trial) -> float:
    """A loss over the small space: deep networks with a learning rate near 0.01 are best."""
    candidate = suggest(trial, SPACE)
    assert candidate.architecture is not None
    return abs(float(np.log10(float(candidate.hyperparameters["learning_rate"]))) + 2) - candidate.architecture.depth


class _OptunaCases(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """Optuna's cases for samplers of one objective; their objectives are foreign to the sampler's space."""


class TestLocalSearchSamplerInOptunasCases(_OptunaCases):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: LocalSearchSampler(SPACE, seed=0, n_startup_trials=2)


class TestNASBOTSamplerInOptunasCases(_OptunaCases):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: NASBOTSampler(SPACE, seed=0)


class TestNoisyNASBOTSamplerInOptunasCases(_OptunaCases):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: NASBOTSampler(SPACE, seed=0, n_startup_trials=2, noisy=True)


def noisy_loss(trial: optuna.Trial) -> float:
    """`loss` with chance that depends on the trial's number alone."""
    return loss(trial) + float(np.random.default_rng(trial.number).standard_normal())


def test_a_sampler_told_of_noise_evaluates_candidates_again_and_recommends_the_one_that_holds_its_own() -> None:
    sampler = NASBOTSampler(SPACE, seed=1, n_startup_trials=4, noisy=True)
    study = optuna.create_study(sampler=sampler)
    study.optimize(noisy_loss, n_trials=25)
    digests = [candidate.digest for candidate in sampler.observations(study).candidates]
    assert len(set(digests)) < len(digests) == 25
    recommended = sampler.recommended_trial(study)
    chosen = sampler.nasbot.incumbent(sampler.observations(study))
    assert SPACE.decode(recommended.params) == chosen
    own = [t for t in study.trials if SPACE.decode(t.params) == chosen]
    assert recommended.value == min(t.value for t in own if t.value is not None)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_recommended_trial_of_a_maximised_study_is_a_good_one(noisy: bool) -> None:
    sampler = NASBOTSampler(SPACE, seed=0, n_startup_trials=3, noisy=noisy)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: -loss(trial), n_trials=10)
    values = sorted(trial.value for trial in study.trials if trial.value is not None)
    value = sampler.recommended_trial(study).value
    assert value is not None
    assert value >= values[5]


def test_nothing_is_recommended_where_nothing_has_a_value_or_there_are_two_objectives() -> None:
    sampler = NASBOTSampler(SPACE, seed=0)
    with pytest.raises(ValueError, match=r"got a study in which no trial .* run some trials first"):
        sampler.recommended_trial(optuna.create_study())
    with pytest.raises(ValueError, match="got a study of 2 objectives"):
        sampler.recommended_trial(optuna.create_study(directions=["minimize", "minimize"]))


def test_every_trial_of_a_plain_study_evaluates_its_published_proposal() -> None:
    study = optuna.create_study(sampler=RegularisedEvolutionSampler(SPACE, seed=0, population=4, sample=2))
    study.optimize(loss, n_trials=12)
    for trial in study.trials:
        assert trial.params == trial.system_attrs[PROPOSAL]["params"]
    origins = [trial.system_attrs[PROPOSAL]["notes"].get("origin") for trial in study.trials]
    assert "mutation" in origins
    assert len({SPACE.decode(trial.params).digest for trial in study.trials}) == 12


def test_nasbots_model_is_asked_by_default_after_the_simple_networks_and_a_random_one() -> None:
    space = MLPSpace(max_layers=3)
    study = optuna.create_study(sampler=NASBOTSampler(space, seed=0))
    study.optimize(lambda trial: float(suggest(trial, space).hyperparameters["learning_rate"]), n_trials=6)
    origins = [trial.system_attrs[PROPOSAL]["notes"]["origin"] for trial in study.trials]
    assert origins[:5] == ["initial"] * 4 + ["random"]
    assert "acquisition" in study.trials[5].system_attrs[PROPOSAL]["notes"]


def test_nasbots_model_is_asked_in_a_plain_study_after_the_startup_trials() -> None:
    study = optuna.create_study(sampler=NASBOTSampler(SPACE, seed=0, n_startup_trials=4, acquisition="ei"))
    study.optimize(loss, n_trials=6)
    notes = [trial.system_attrs[PROPOSAL]["notes"] for trial in study.trials]
    assert [note["origin"] == "random" for note in notes] == [True] * 4 + [False] * 2
    assert notes[-1]["acquisition"] == "ei"


def test_a_proposal_is_pending_for_others_before_the_objective_asks_for_a_parameter() -> None:
    sampler = LocalSearchSampler(SPACE, seed=0)
    study = optuna.create_study(sampler=sampler)
    trial = study.ask()
    proposed = SPACE.decode(study.trials[0].system_attrs[PROPOSAL]["params"])
    assert sampler.observations(study).pending == (proposed,)
    assert suggest(trial, SPACE) == proposed


def test_proposals_depend_on_the_storage_alone_not_on_the_sampler_instance() -> None:
    def fresh() -> BaseSampler:
        return LocalSearchSampler(SPACE, seed=3, n_startup_trials=2)

    kept = optuna.create_study(sampler=fresh())
    kept.optimize(loss, n_trials=8)
    renewed = optuna.create_study(sampler=fresh())
    for _ in range(8):
        renewed.sampler = fresh()
        renewed.optimize(loss, n_trials=1)
    assert [trial.params for trial in kept.trials] == [trial.params for trial in renewed.trials]


class _Stubborn:
    """Proposes one and the same candidate for as long as it is not pending: what two workers at once come to."""

    space = ListedSpace()

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile: Callable[[], None] | None = meanwhile

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        free = [candidate for candidate in self.space.candidates if candidate.digest not in observations.digests]
        return [Proposal(free[0])]


def _study_with_a_value() -> optuna.Study:
    space, study = _Stubborn.space, optuna.create_study()
    params, distributions = space.encode(space.candidates[7]), to_distributions(space.parameters)
    study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=1.0))
    return study


@pytest.mark.parametrize("other_is_older", [True, False])
def test_of_two_workers_that_propose_the_same_at_once_the_later_one_proposes_again(other_is_older: bool) -> None:
    space, study = _Stubborn.space, _study_with_a_value()
    older = study.ask()._trial_id if other_is_older else None

    def another_worker_publishes() -> None:
        other = study._storage.create_new_trial(study._study_id) if older is None else older
        study._storage.set_trial_system_attr(other, PROPOSAL, {"params": space.encode(space.candidates[0])})

    study.sampler = ProposerSampler(_Stubborn(another_worker_publishes), seed=0, n_startup_trials=1)
    assert suggest(study.ask(), space) == space.candidates[1]


def test_a_candidate_that_another_worker_has_finished_meanwhile_is_not_evaluated_again() -> None:
    space, study = _Stubborn.space, _study_with_a_value()

    def another_worker_finishes() -> None:
        params, distributions = space.encode(space.candidates[0]), to_distributions(space.parameters)
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=2.0))

    study.sampler = ProposerSampler(_Stubborn(another_worker_finishes), seed=0, n_startup_trials=1)
    assert suggest(study.ask(), space) == space.candidates[1]


def test_a_trial_that_the_user_queued_is_evaluated_as_it_is() -> None:
    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=0))
    wanted = SPACE.sample(np.random.default_rng(5))
    study.enqueue_trial(SPACE.encode(wanted))
    trial = study.ask()
    assert PROPOSAL not in study.trials[0].system_attrs
    assert suggest(trial, SPACE) == wanted


def test_a_partly_queued_trial_is_completed_by_a_proposal() -> None:
    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=0))
    study.enqueue_trial({"learning_rate": 0.0123})
    assert suggest(study.ask(), SPACE).hyperparameters["learning_rate"] == 0.0123


def test_a_proposer_that_fails_leaves_no_running_trial_behind() -> None:
    class Failing:
        space = SPACE

        def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
            raise RuntimeError("no idea")

    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=0))
    study.optimize(loss, n_trials=1)
    study.sampler = ProposerSampler(Failing(), n_startup_trials=1)
    with pytest.raises(RuntimeError, match="no idea"):
        study.optimize(loss, n_trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]


def n_blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_linear_algebra_has_one_thread_while_a_proposal_is_made_and_as_many_as_before_afterwards() -> None:
    met = []

    class Counting:
        """Looks how many threads there are."""

        space = SPACE

        def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
            met.append((torch.get_num_threads(), n_blas_threads()))
            return UniformProposer(SPACE).propose(observations, n, generator)

    study = optuna.create_study(sampler=ProposerSampler(Counting(), n_startup_trials=1))
    with limited_threads(2), threadpool_limits(2, "blas"):
        study.optimize(loss, n_trials=2)
        assert (torch.get_num_threads(), n_blas_threads()) == (2, {2})
    assert met == [(1, {1})]


def test_threads_of_one_process_propose_one_at_a_time() -> None:
    met = []

    class Meeting:
        """Waits for another thread to come in."""

        space = SPACE
        barrier = threading.Barrier(2, timeout=0.3)

        def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
            try:
                self.barrier.wait()
                met.append(True)
            except threading.BrokenBarrierError:
                met.append(False)
            return UniformProposer(SPACE).propose(observations, n, generator)

    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=0))
    study.optimize(loss, n_trials=1)
    study.sampler = ProposerSampler(Meeting(), seed=0, n_startup_trials=1)
    study.optimize(loss, n_trials=2, n_jobs=2)
    assert met == [False, False]


def test_a_sampler_that_has_fitted_a_model_can_be_pickled_and_goes_on_as_if_it_were_the_same() -> None:
    sampler = NASBOTSampler(SPACE, seed=0, n_startup_trials=3)
    study = optuna.create_study(sampler=sampler)
    study.optimize(loss, n_trials=5)
    copied: optuna.Study = pickle.loads(pickle.dumps(study))  # the way of Optuna's own FAQ to keep a study in memory
    for each in (study, copied):
        each.optimize(loss, n_trials=1)
    assert copied.trials[-1].system_attrs[PROPOSAL]["notes"]["origin"] != "random"
    assert copied.trials[-1].params == study.trials[-1].params


def test_a_sampler_learns_of_a_study_what_that_study_tried_and_not_what_another_of_its_name_did() -> None:
    sampler = LocalSearchSampler(SPACE, seed=0)
    for seed in range(2):  # each in a memory of its own
        study = optuna.create_study(study_name="same", sampler=optuna.samplers.RandomSampler(seed=seed))
        study.optimize(loss, n_trials=3)
        tried = [SPACE.encode(candidate) for candidate in sampler.observations(study).candidates]
        assert tried == [trial.params for trial in study.trials]


def test_parameters_beyond_the_space_go_to_the_independent_sampler() -> None:
    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=0, n_startup_trials=1))

    def objective(trial: optuna.Trial) -> float:
        return loss(trial) + trial.suggest_float("extra", 0, 1)

    study.optimize(objective, n_trials=4)
    assert len({trial.params["extra"] for trial in study.trials}) == 4


@pytest.mark.parametrize("seed", [-1, 2**40, np.int64(3), np.uint8(3)])
def test_any_whole_number_is_a_seed_for_parameters_beyond_the_space_too(seed: int) -> None:
    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=seed))
    study.optimize(lambda trial: loss(trial) + trial.suggest_float("extra", 0, 1), n_trials=1)
    assert 0 <= study.best_params["extra"] <= 1


@pytest.mark.parametrize("seed", ["x", 1.5])
def test_a_seed_that_is_no_whole_number_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match=r"got seed = .*, expected a whole number or None"):
        LocalSearchSampler(SPACE, seed=seed)  # type: ignore[arg-type]  # what the test is about


def test_a_study_in_a_file_goes_on_in_another_process_as_if_it_were_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"

    def opened() -> optuna.Study:
        sampler = LocalSearchSampler(SPACE, seed=1, n_startup_trials=3)
        return optuna.create_study(study_name="s", storage=open_storage(url), sampler=sampler, load_if_exists=True)

    for _ in range(3):
        opened().optimize(loss, n_trials=2)
    memory = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=1, n_startup_trials=3))
    memory.optimize(loss, n_trials=6)
    assert [trial.params for trial in opened().trials] == [trial.params for trial in memory.trials]


def test_nao_s_settings_reach_its_proposer() -> None:
    search, settings = LatentSearch(latent=False), NAOSettings(n_heads=1)
    nao = NAOSampler(SPACE, seed=0, n_startup_trials=7, acquisition="ucb", search=search, settings=settings).nao
    assert (nao.n_startup, nao.acquisition, nao.search, nao.settings) == (7, "ucb", search, settings)


def test_the_combined_sampler_s_acquisition_function_reaches_its_proposer() -> None:
    proposer = CombinedSampler(SPACE, seed=0, n_startup_trials=7, acquisition="thompson").proposer
    assert isinstance(proposer, CombinedProposer)
    assert (proposer.n_startup, proposer.acquisition) == (7, "thompson")


def test_fewer_than_one_startup_trial_is_refused() -> None:
    with pytest.raises(ValueError, match="got n_startup_trials = 0, expected a whole number of at least 1"):
        ProposerSampler(UniformProposer(SPACE), n_startup_trials=0)
    for sampler in (NASBOTSampler, NAOSampler, CombinedSampler, LocalSearchSampler):
        for count in (0, 2.5, "5"):
            sentence = rf"got n_startup_trials = {count!r}, expected a whole number of at least 1, .* raise it"
            with pytest.raises(ValueError, match=sentence):
                sampler(SPACE, n_startup_trials=cast(int, count))


def test_a_queued_proposal_of_a_larger_space_is_no_obstacle() -> None:
    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=0, n_startup_trials=1))
    params = SPACE.encode(SPACE.sample(np.random.default_rng(0)))
    proposal = {"params": params | {"of_the_larger_space": 1.0}, "notes": {}, "seconds": 0.0}
    study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING, system_attrs={PROPOSAL: proposal}))
    study.optimize(loss, n_trials=1)
    assert study.trials[0].params == params


def test_what_is_no_sampler_is_refused_before_a_trial_runs() -> None:
    no_sampler = cast(BaseSampler, "tpe")
    with pytest.raises(ValueError, match=r"got independent_sampler = 'tpe', expected a sampler such as TPESampler\(\)"):
        NASBOTSampler(SPACE, independent_sampler=no_sampler)
    with pytest.raises(ValueError, match="got base_sampler = 'tpe', expected a sampler such as"):
        TransferSampler(["past"], base_sampler=no_sampler)
    with pytest.raises(ValueError, match="got a GridSampler as base sampler, expected one that may leave trials"):
        TransferSampler(["past"], base_sampler=GridSampler({"x": [1, 2]}))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: NASBOTSampler(SPACE, gp=cast(Any, 3)), r"got gp = 3, expected ArchitectureGPSettings\(...\)"),
        (lambda: NASBOTSampler(SPACE, pool=cast(Any, 3)), r"got pool = 3, expected PoolSettings\(...\)"),
        (lambda: NASBOTSampler(SPACE, pool=cast(Any, {})), r"got pool = {}, expected PoolSettings\(...\)"),
        (lambda: NASBOTSampler(SPACE, noisy=cast(Any, "yes")), "got noisy = 'yes', expected True or False"),
        (lambda: NAOSampler(SPACE, settings=cast(Any, 3)), r"got settings = 3, expected NAOSettings\(...\)"),
        (lambda: NAOSampler(SPACE, search=cast(Any, 3)), r"got search = 3, expected LatentSearch\(...\)"),
        (lambda: TransferSampler(["past"], settings=cast(Any, 3)), r"got settings = 3, expected TransferSettings"),
    ],
)
def test_what_are_no_settings_is_refused_before_a_trial_runs(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    "sampler", [NASBOTSampler, NAOSampler, CombinedSampler, RegularisedEvolutionSampler, LocalSearchSampler]
)
def test_what_is_no_space_is_refused(sampler: Callable[[Any], BaseSampler]) -> None:
    with pytest.raises(ValueError, match=r"got the space 'mlp', expected one such as MLPSpace\(\)"):
        sampler("mlp")


def test_values_that_are_all_the_same_are_told_once_and_no_obstacle(caplog: pytest.LogCaptureFixture) -> None:
    study = optuna.create_study(sampler=LocalSearchSampler(SPACE, seed=0, n_startup_trials=1))

    def objective(trial: optuna.Trial) -> float:
        suggest(trial, SPACE)
        return 1.0

    study.optimize(objective, n_trials=3)
    assert "the same" not in caplog.text
    study.optimize(objective, n_trials=3)
    assert caplog.text.count("all 3 values of the study are the same") == 1
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_a_study_of_two_objectives_is_refused_in_one_sentence() -> None:
    sampler = ProposerSampler(EvolutionProposer(SPACE), seed=0)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    with pytest.raises(ValueError, match="got a study of 2 objectives, this sampler takes one"):
        suggest(study.ask(), SPACE)
