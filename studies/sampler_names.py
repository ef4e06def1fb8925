"""Samplers and pruners by name, as `create_study` and the command line know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from automl.errors import InputError, did_you_mean
from automl.spaces.base import Space
from studies.samplers import CombinedSampler, LocalSearchSampler, NAOSampler, NASBOTSampler, RegularisedEvolutionSampler

_OURS: Mapping[str, Callable[[Space, int], BaseSampler]] = {
    "nasbot": lambda space, seed: NASBOTSampler(space, seed=seed),
    "nao": lambda space, seed: NAOSampler(space, seed=seed),
    "combined": lambda space, seed: CombinedSampler(space, seed=seed),
    "evolution": lambda space, seed: RegularisedEvolutionSampler(space, seed=seed),
    "local-search": lambda space, seed: LocalSearchSampler(space, seed=seed),
}
OPTUNA_SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "nsgaii": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
}
"""What makes each of Optuna's samplers of a seed, by name."""


class PeriodicPruner(BasePruner):
    """Asks another pruner at some epochs only: each question reads all trials, which takes as long as a short epoch.

    Args:
        pruner: Whom to ask.
        start: First epoch at which it is asked: by then a network has left its initial weights behind.
        interval: Epochs between two questions.
    """

    def __init__(self, pruner: BasePruner, start: int = 10, interval: int = 5) -> None:
        self._pruner = pruner
        self._start = start
        self._interval = interval

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to stop after its last epoch; see `optuna.pruners.BasePruner`."""
        epoch = trial.last_step
        if epoch is None or epoch < self._start or (epoch - self._start) % self._interval:
            return False
        return self._pruner.prune(study, trial)


# A training that is stopped tells less of its candidate, so by default only the worst quarter is stopped.
_PRUNERS: Mapping[str, Callable[[], BasePruner]] = {
    "quartile": lambda: PeriodicPruner(optuna.pruners.PercentilePruner(75.0, n_startup_trials=8)),
    "median": lambda: PeriodicPruner(optuna.pruners.MedianPruner(n_startup_trials=8)),
    "none": optuna.pruners.NopPruner,
}

SAMPLERS = (*_OURS, *OPTUNA_SAMPLERS)
"""Every sampler's name."""
PRUNERS = tuple(_PRUNERS)
"""Every pruner's name."""


def check_names(sampler: str | None = None, pruner: str | None = None) -> None:
    """Refuses the name of a sampler or pruner that nobody knows.

    Raises:
        InputError: If a name is unknown.
    """
    for sort, name, known in (("sampler", sampler, SAMPLERS), ("pruner", pruner, PRUNERS)):
        if name is not None and name not in known:
            raise InputError(
                f"got the {sort} {name!r}, expected one of {', '.join(known)}; {did_you_mean(name, known)}"
            )


def make_sampler(name: str, space: Space, seed: int, n_trials: int, stream: int) -> BaseSampler:
    """The sampler of a name.

    Ours draw from the study's seed and the trial's number alone. Optuna's hold a random state of their own, so a
    worker or a later session gets another seed, else it would repeat the first one's draws.

    Args:
        name: One of `SAMPLERS`.
        space: What is searched.
        seed: Seed of the study.
        n_trials: Trials that the study has by now.
        stream: Number of the worker; 0 for the only process.
    """
    if name in _OURS:
        return _OURS[name](space, seed)
    return OPTUNA_SAMPLERS[name](int(np.random.SeedSequence([seed % 2**63, n_trials, stream]).generate_state(1)[0]))


def make_pruner(name: str) -> BasePruner:
    """The pruner of a name in `PRUNERS`."""
    return _PRUNERS[name]()
