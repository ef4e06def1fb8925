"""Samplers by name as a benchmark drives them: our proposers directly, Optuna's samplers through in-memory studies.

Both look alike to the benchmark: `ask` answers with a candidate, `tell` says what its evaluation gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, Protocol, cast

import numpy as np
import optuna

from automl.errors import InputError, nearest
from automl.observations import Candidate, Observations
from automl.parameters import Categorical
from automl.proposers.base import Proposer
from automl.spaces.base import Space
from studies.objective import suggest

MakeProposer = Callable[[Space], Proposer]
MakeSampler = Callable[[int], optuna.samplers.BaseSampler]


class Searcher(Protocol):
    """One search: asked for candidates and told what they are worth."""

    def ask(self) -> Candidate:
        """The next candidate to evaluate; those asked for before and not told yet are pending."""

    def tell(self, candidate: Candidate, loss: float) -> None:
        """The loss of the earliest pending evaluation of `candidate`."""

    def incumbent(self) -> Candidate | None:
        """The candidate that its model thinks best; None where it has no opinion beside the observed values."""


class ProposerSearcher:
    """Drives a proposer. Its generators are those of `studies.samplers`: made of the seed and the trial's number.

    Args:
        proposer: What proposes.
        seed: Seed of the search.
    """

    def __init__(self, proposer: Proposer, seed: int) -> None:
        self._proposer = proposer
        self._seed = seed
        self._asked = 0
        self._pending: list[Candidate] = []
        self._told: list[Candidate] = []
        self._losses: list[float] = []

    @property
    def _observations(self) -> Observations:
        losses = np.array(self._losses, dtype=np.float64).reshape(-1, 1)
        return Observations(tuple(self._told), losses, pending=tuple(self._pending))

    def ask(self) -> Candidate:
        generator = np.random.default_rng([self._seed, self._asked])
        candidate = self._proposer.propose(self._observations, 1, generator)[0].candidate
        self._asked += 1
        self._pending.append(candidate)
        return candidate

    def tell(self, candidate: Candidate, loss: float) -> None:
        self._pending.remove(candidate)
        self._told.append(candidate)
        self._losses.append(loss)

    def incumbent(self) -> Candidate | None:
        choose = getattr(self._proposer, "incumbent", None)
        return cast("Candidate | None", choose(self._observations)) if callable(choose) else None


class OptunaSearcher:
    """Drives one of Optuna's samplers in a study of its own, in memory.

    Args:
        sampler: What samples.
        space: What it samples from, parameter by parameter.
    """

    def __init__(self, sampler: optuna.samplers.BaseSampler, space: Space) -> None:
        self._study = optuna.create_study(sampler=sampler, storage=None)
        self._space = space
        self._pending: list[tuple[Candidate, optuna.Trial]] = []

    def ask(self) -> Candidate:
        trial = self._study.ask()
        self._pending.append((suggest(trial, self._space), trial))
        return self._pending[-1][0]

    def tell(self, candidate: Candidate, loss: float) -> None:
        place = next(i for i, (pending, _) in enumerate(self._pending) if pending == candidate)
        self._study.tell(self._pending.pop(place)[1], loss)

    def incumbent(self) -> Candidate | None:
        return None


def _evolution(space: Space) -> Proposer:
    """Population 30, sample 10, as naszilla has it for tables: 150 trials leave no room for the paper's 100 and 25."""
    from automl.proposers.evolution import EvolutionProposer

    return EvolutionProposer(space, population=30, sample=10)


def _proposer(module: str, name: str) -> MakeProposer:
    """Makes the proposer of that name with its default settings; its module is imported when it is wanted."""
    return lambda space: cast(Proposer, getattr(import_module(f"automl.proposers.{module}"), name)(space))


_PROPOSERS: Final[Mapping[str, MakeProposer]] = {
    "nasbot": _proposer("nasbot", "NASBOTProposer"),
    "nao": _proposer("nao", "NAOProposer"),
    "evolution": _evolution,
    "local-search": _proposer("local_search", "LocalSearchProposer"),
    "uniform": _proposer("uniform", "UniformProposer"),
}
_OPTUNA: Final[Mapping[str, MakeSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "nsgaii": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
}

SAMPLERS: Final = (*_PROPOSERS, *_OPTUNA)
"""Names of the samplers; any other proposer is named by its import path, "package.module:callable"."""


def check_sampler(name: str, space: Space) -> None:
    """Refuses a sampler that nobody knows, or that cannot search the space.

    Raises:
        InputError: If the name is unknown, or CMA-ES is to search a space without numbers.
    """
    if ":" in name:
        _imported(name)
    elif name not in SAMPLERS:
        raise InputError(
            f"got the sampler {name!r}, expected one of {', '.join(SAMPLERS)}, or the import path of a proposer as "
            f"'package.module:callable'; did you mean {nearest(name, SAMPLERS, 1)}?"
        )
    elif name == "cmaes" and all(isinstance(parameter, Categorical) for parameter in space.parameters.values()):
        raise InputError(
            "got the sampler 'cmaes' for a table whose parameters are all categories, expected numbers or ordered "
            "columns; choose another sampler such as 'tpe'."
        )


def make_searcher(name: str, space: Space, seed: int) -> Searcher:
    """A search by the sampler of that name.

    Args:
        name: One of `SAMPLERS`, or the import path of a callable that takes a space and returns a proposer.
        space: What is searched.
        seed: Seed of all its randomness.

    Raises:
        InputError: If there is no such sampler.
    """
    if name in _OPTUNA:
        return OptunaSearcher(_OPTUNA[name](seed), space)
    make = _PROPOSERS[name] if name in _PROPOSERS else _imported(name)
    return ProposerSearcher(make(space), seed)


def _imported(path: str) -> MakeProposer:
    module, _, name = path.partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"got the sampler {path!r}, which cannot be imported ({error}); expected 'package.module:callable' on the "
            "Python path: check the spelling."
        ) from error
    return cast(MakeProposer, found)
