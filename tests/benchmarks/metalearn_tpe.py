"""MetaLearnTPE (Watanabe et al. 2023, IJCAI) as a rival of `automl benchmark --transfer`: OptunaHub's own code.

It is on no package index: clone https://github.com/optuna/optunahub-registry, name the folder in OPTUNAHUB_REGISTRY,
and call `PYTHONPATH=. automl benchmark ... --sampler tests.benchmarks.metalearn_tpe:metalearn_tpe`. The version of
August 2026 was written for Optuna 4 and stumbles in Optuna 5 over two private names, which are put right here; its
settings are its authors'.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import optuna
from optuna.samplers._tpe.sampler import _split_trials, default_gamma

from automl.errors import InputError
from automl.observations import Observations
from automl.spaces.base import Space
from studies.benchmark.samplers import Sources
from studies.distributions import to_distributions

_FOLDER = "OPTUNAHUB_REGISTRY"
_PACKAGE = "package/samplers/meta_learn_tpe"


def metalearn_tpe(space: Space, sources: Sources | None = None, *, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler, its source studies made of past evaluations.

    Args:
        space: What is searched.
        sources: Past evaluations, by the name of their task.
        seed: Seed of the sampler.

    Raises:
        InputError: If there are no past evaluations, or OPTUNAHUB_REGISTRY names no folder with the sampler.
    """
    if not sources:
        raise InputError("got MetaLearnTPE, which learns from past tasks, and none of these; add --transfer.")
    sampler = _module().MetaLearnTPESampler(
        source_studies=[_study(space, past) for past in sources.values()], seed=seed
    )
    for tpe in (sampler._target_sampler, *sampler._source_samplers):
        tpe._gamma = default_gamma  # Optuna 4's default from the start; Optuna 5 sets it at the first proposal.
    return cast(optuna.samplers.BaseSampler, sampler)


@cache
def _module() -> ModuleType:
    file = Path(os.environ.get(_FOLDER, "")) / _PACKAGE / "__init__.py"
    spec = importlib.util.spec_from_file_location("meta_learn_tpe", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise InputError(f"got no {file}, expected a clone of OptunaHub's registry; name its folder in {_FOLDER}.")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["meta_learn_tpe.sampler"].__dict__["_split_trials"] = _split
    return module


def _split(study: optuna.Study, trials: list[optuna.trial.FrozenTrial], n_below: int, **_: Any) -> Any:
    """Optuna's own, which has lost the argument `constraints_enabled`."""
    return _split_trials(study, trials, n_below)


def _study(space: Space, past: Observations) -> optuna.Study:
    study = optuna.create_study()
    distributions = to_distributions(space.parameters)
    for candidate, loss in zip(past.candidates, past.values[:, 0], strict=True):
        params = space.encode(candidate)
        used = {name: distributions[name] for name in params}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=used, value=float(loss)))
    return study
