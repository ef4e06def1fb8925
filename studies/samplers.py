"""NASBOT, NAO and the other searches of this project as Optuna samplers: one class for each proposer.

Each takes its proposer's settings as arguments and leaves the rest to `studies.proposer_sampler.ProposerSampler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from automl.proposers.evolution import EvolutionProposer
from automl.proposers.local_search import LocalSearchProposer
from automl.spaces.base import Space
from studies.history import best_trial_of
from studies.proposer_sampler import (
    ProposerSampler,
    check_space,
    check_startup,
    one_at_a_time,
    refuse_several_objectives,
)

if TYPE_CHECKING:
    from automl.acquisition import Acquisition
    from automl.proposers.nao import LatentSearch
    from automl.proposers.nasbot import PoolSettings
    from automl.surrogates.architecture_gp import ArchitectureGPSettings
    from automl.surrogates.nao import NAOSettings


class NASBOTSampler(ProposerSampler):
    """NASBOT: Bayesian optimisation with optimal transport between networks (Kandasamy et al. 2018).

    Args:
        space: The space to search.
        seed: Seed of all proposals; None draws one.
        n_startup_trials: Number of finished trials before the model is asked; until then proposals are the space's
            simple networks and random ones. By default one more than there are simple networks, or ten where there are
            none.
        acquisition: "log-ei", "ei", "ucb", "thompson" or "ttei".
        noisy: Whether a candidate's value differs from one evaluation to the next. Then candidates count with the mean
            of their values, and promising ones are proposed again (`automl.proposers.replication`).
        gp: Settings of the Gaussian process: what is counted, OTMANN's weights and label costs, how it is fitted.
        pool: Settings of the pool of candidates that are compared.
        independent_sampler: Answers for parameters that are not the space's; random by default.

    Raises:
        ValueError: If `n_startup_trials` is below 1, the acquisition function is unknown, or settings are none.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        n_startup_trials: int | None = None,
        acquisition: Acquisition = "log-ei",
        noisy: bool = False,
        gp: ArchitectureGPSettings | None = None,
        pool: PoolSettings | None = None,
        independent_sampler: BaseSampler | None = None,
    ) -> None:
        check_space(space)
        check_startup(n_startup_trials)
        # Deferred: these bring BoTorch, which few callers of this module need.
        from automl.proposers.nasbot import NASBOTProposer, PoolSettings
        from automl.proposers.replication import ReplicatingProposer

        nasbot = NASBOTProposer(
            space,
            n_startup=n_startup_trials,
            acquisition=acquisition,
            gp=gp,
            pool=PoolSettings() if pool is None else pool,
        )
        if not isinstance(noisy, bool):
            raise ValueError(f"got noisy = {noisy!r}, expected True or False; choose one.")
        self.nasbot = ReplicatingProposer(nasbot) if noisy else nasbot
        super().__init__(
            self.nasbot, seed=seed, n_startup_trials=n_startup_trials, independent_sampler=independent_sampler
        )

    def recommended_trial(self, study: Study) -> FrozenTrial:
        """The trial of the candidate that the model thinks best, where `study.best_trial` may be the luckiest one.

        The candidate has been evaluated; of several trials of it the best is returned.

        Raises:
            ValueError: If no trial of the sampler's space has a finite value, or the study has several objectives.

        Examples:
            >>> import optuna
            >>> from automl.spaces.mlp import MLPSpace
            >>> from studies.objective import suggest
            >>> space = MLPSpace(max_layers=3)
            >>> sampler = NASBOTSampler(space, seed=0, noisy=True)
            >>> study = optuna.create_study(sampler=sampler)
            >>> study.optimize(lambda trial: suggest(trial, space).architecture.depth + trial.number % 2, n_trials=8)
            >>> sampler.recommended_trial(study) in study.trials
            True
        """
        refuse_several_objectives(study)
        with one_at_a_time():
            chosen = self.nasbot.incumbent(self.observations(study))
        if chosen is None:
            raise ValueError(
                "got a study in which no trial of the sampler's space has a value, expected at least one to recommend; "
                "run some trials first."
            )
        return best_trial_of(chosen, self.space, study.get_trials(), study.direction)


class NAOSampler(ProposerSampler):
    """NAO: neural architecture optimisation by gradient in a learnt continuous space (Luo et al. 2018).

    Args:
        space: The space to search.
        seed: Seed of all proposals; None draws one.
        n_startup_trials: Number of finished trials before the model is asked; until then proposals are the space's
            simple networks and random ones. By default one more than there are simple networks, or ten where there are
            none.
        acquisition: "log-ei", "ei", "ucb", "thompson" or "ttei".
        search: How new candidates are looked for: latent steps or mutation alone, how many, how far.
        settings: The network's shape and training: how many predictors, pre-training, pseudo-labels.
        independent_sampler: Answers for parameters that are not the space's; random by default.

    Raises:
        ValueError: If `n_startup_trials` is below 1 or the acquisition function is unknown.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        n_startup_trials: int | None = None,
        acquisition: Acquisition = "log-ei",
        search: LatentSearch | None = None,
        settings: NAOSettings | None = None,
        independent_sampler: BaseSampler | None = None,
    ) -> None:
        check_space(space)
        check_startup(n_startup_trials)
        # Deferred: these bring torch, which few callers of this module need.
        from automl.proposers.nao import LatentSearch, NAOProposer
        from automl.surrogates.nao import NAOSettings

        self.nao = NAOProposer(
            space,
            n_startup=n_startup_trials,
            acquisition=acquisition,
            search=search or LatentSearch(),
            settings=settings or NAOSettings(),
        )
        super().__init__(
            self.nao, seed=seed, n_startup_trials=n_startup_trials, independent_sampler=independent_sampler
        )


class CombinedSampler(ProposerSampler):
    """NASBOT and NAO together: their candidates meet in one pool under both models (`automl.proposers.combined`).

    Args:
        space: The space to search.
        seed: Seed of all proposals; None draws one.
        n_startup_trials: Number of finished trials before the models are asked; until then proposals are the space's
            simple networks and random ones. By default one more than there are simple networks, or ten where there are
            none.
        acquisition: "log-ei", "ei", "ucb", "thompson" or "ttei", of both models together.
        independent_sampler: Answers for parameters that are not the space's; random by default.

    Raises:
        ValueError: If `n_startup_trials` is below 1 or the acquisition function is unknown.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        n_startup_trials: int | None = None,
        acquisition: Acquisition = "log-ei",
        independent_sampler: BaseSampler | None = None,
    ) -> None:
        check_space(space)
        check_startup(n_startup_trials)
        # Deferred: these bring BoTorch, which few callers of this module need.
        from automl.proposers.combined import CombinedProposer
        from automl.proposers.nao import NAOProposer

        self.nao = NAOProposer(space, n_startup=n_startup_trials)
        proposer = CombinedProposer(space, n_startup=n_startup_trials, acquisition=acquisition, nao=self.nao)
        super().__init__(
            proposer, seed=seed, n_startup_trials=n_startup_trials, independent_sampler=independent_sampler
        )


class RegularisedEvolutionSampler(ProposerSampler):
    """Regularised evolution: mutants of tournament winners among the youngest trials (Real et al. 2019).

    Args:
        space: The space to search.
        seed: Seed of all proposals; None draws one.
        population: Number of youngest trials that may become parents; as many are random before evolution begins.
        sample: Number of them that compete to be the parent.
        independent_sampler: Answers for parameters that are not the space's; random by default.

    Raises:
        ValueError: If `population` or `sample` is below 1.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        population: int = 20,
        sample: int = 5,
        independent_sampler: BaseSampler | None = None,
    ) -> None:
        check_space(space)
        proposer = EvolutionProposer(space, population=population, sample=sample)
        super().__init__(proposer, seed=seed, n_startup_trials=1, independent_sampler=independent_sampler)


class LocalSearchSampler(ProposerSampler):
    """Local search: the neighbours of the best trial, then of the next best (White et al. 2020).

    Args:
        space: The space to search.
        seed: Seed of all proposals; None draws one.
        n_startup_trials: Number of random trials before the search begins.
        independent_sampler: Answers for parameters that are not the space's; random by default.

    Raises:
        ValueError: If `n_startup_trials` is below 1.

    Examples:
        >>> import optuna
        >>> from automl.spaces.mlp import MLPSpace
        >>> from studies.objective import suggest
        >>> space = MLPSpace(max_layers=3)
        >>> study = optuna.create_study(sampler=LocalSearchSampler(space, seed=0, n_startup_trials=2))
        >>> study.optimize(lambda trial: suggest(trial, space).architecture.depth, n_trials=4)
        >>> len({space.decode(trial.params) for trial in study.trials})
        4
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        n_startup_trials: int = 10,
        independent_sampler: BaseSampler | None = None,
    ) -> None:
        check_space(space)
        check_startup(n_startup_trials)
        super().__init__(
            LocalSearchProposer(space, n_startup=n_startup_trials),
            seed=seed,
            n_startup_trials=n_startup_trials,
            independent_sampler=independent_sampler,
        )
