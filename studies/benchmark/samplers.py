"""Samplers by name as a benchmark drives them: our proposers directly, Optuna's samplers through in-memory studies.

Both look alike to the benchmark: `ask` answers with a candidate, `tell` says what its evaluation gave. "NAME+initial"
is any sampler that is first handed the simple networks of the space, with which our own begin by themselves. Where
there are past tasks, "NAME+enq" is any that is first handed the best candidate of each of them, the baseline that a
transfer method has to beat, "wscmaes" Optuna's warm-started CMA-ES (Nomura et al. 2021), and "transfer" ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Final, Protocol, cast

import numpy as np
import optuna

from automl.errors import InputError, did_you_mean
from automl.observations import Candidate, Observations
from automl.parameters import Categorical
from automl.proposers.base import Proposer
from automl.spaces.base import Space
from studies.distributions import to_distributions
from studies.objective import suggest
from studies.quiet_optuna import experimental_features
from studies.sampler_names import OPTUNA_SAMPLERS

MakeProposer = Callable[..., Proposer]
MakeAny = Callable[..., Proposer | optuna.samplers.BaseSampler]
Sources = Mapping[str, Observations]
"""Past evaluations by the name of their task, all in the space of the target."""


class Searcher(Protocol):
    """One search: asked for candidates and told what they are worth."""

    def ask(self) -> Candidate:
        """The next candidate to evaluate; those asked for before and not told yet are pending."""

    def tell(self, candidate: Candidate, loss: float) -> None:
        """The loss of the earliest pending evaluation of `candidate`."""

    def incumbent(self) -> Candidate | None:
        """The candidate that its model thinks best; None where it has no opinion beside the observed values."""


class ProposerSearcher:
    """Drives a proposer, with generators made of seed and trial number as `studies.proposer_sampler` makes them.

    Args:
        proposer: What proposes.
        seed: Seed of the search.
    """

    def __init__(self, proposer: Proposer, seed: int) -> None:
        self._proposer = proposer
        self._seed = seed
        self._asked = 0
        self._expected: list[Candidate] = []
        self._pending: list[Candidate] = []
        self._told: list[Candidate] = []
        self._losses: list[float] = []

    @property
    def _observations(self) -> Observations:
        losses = np.array(self._losses, dtype=np.float64).reshape(-1, 1)
        return Observations(tuple(self._told), losses, pending=tuple(self._pending))

    def expect(self, candidate: Candidate) -> None:
        """Makes `ask` answer with that candidate next."""
        self._expected.append(candidate)

    def ask(self) -> Candidate:
        """The next candidate."""
        generator = np.random.default_rng([self._seed, self._asked])
        self._asked += 1
        if self._expected:
            candidate = self._expected.pop(0)
        else:
            candidate = self._proposer.propose(self._observations, 1, generator)[0].candidate
        self._pending.append(candidate)
        return candidate

    def tell(self, candidate: Candidate, loss: float) -> None:
        """Takes note of the loss."""
        self._pending.remove(candidate)
        self._told.append(candidate)
        self._losses.append(loss)

    def incumbent(self) -> Candidate | None:
        """The proposer's own answer, where it has one."""
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

    def expect(self, candidate: Candidate) -> None:
        """Makes `ask` answer with that candidate next."""
        self._study.enqueue_trial(self._space.encode(candidate))

    def ask(self) -> Candidate:
        """The next candidate."""
        trial = self._study.ask()
        self._pending.append((suggest(trial, self._space), trial))
        return self._pending[-1][0]

    def tell(self, candidate: Candidate, loss: float) -> None:
        """Takes note of the loss."""
        place = next(i for i, (pending, _) in enumerate(self._pending) if pending == candidate)
        self._study.tell(self._pending.pop(place)[1], loss)

    def incumbent(self) -> Candidate | None:
        """None: Optuna's samplers say nothing of it."""
        return None


class HeadStart:
    """Asks for given candidates first, each once, and for a sampler's own from then on.

    Args:
        searcher: What is asked afterwards; it is told of all.
        candidates: What comes first.
    """

    def __init__(self, searcher: ProposerSearcher | OptunaSearcher, candidates: Iterable[Candidate]) -> None:
        self._searcher = searcher
        self._first = list(dict.fromkeys(candidates))

    def ask(self) -> Candidate:
        """The next candidate."""
        if self._first:
            self._searcher.expect(self._first.pop(0))
        return self._searcher.ask()

    def tell(self, candidate: Candidate, loss: float) -> None:
        """Takes note of the loss."""
        self._searcher.tell(candidate, loss)

    def incumbent(self) -> Candidate | None:
        """That of the searcher."""
        return self._searcher.incumbent()


def _evolution(space: Space) -> Proposer:
    """Population 30, sample 10, as naszilla has it for tables: 150 trials leave no room for the paper's 100 and 25."""
    from automl.proposers.evolution import EvolutionProposer

    return EvolutionProposer(space, population=30, sample=10)


def _otmann_alone(space: Space) -> Proposer:
    """NASBOT with the paper's kernel and nothing else: OTMANN distances, an evolving pool, no counts, no trend."""
    from automl.proposers.nasbot import NASBOTProposer, PoolSettings
    from automl.surrogates.architecture_gp import ArchitectureGPSettings

    kernel = ArchitectureGPSettings(sorts=(), trend=False, scores="normal", mean_deviation=1.0, max_iterations=50)
    return NASBOTProposer(space, gp=kernel, pool=PoolSettings(listed_at_most=0))


def _noisy(space: Space) -> Proposer:
    """NASBOT told that values are noisy: it evaluates promising cells again."""
    from automl.proposers.nasbot import NASBOTProposer
    from automl.proposers.replication import ReplicatingProposer

    return ReplicatingProposer(NASBOTProposer(space))


def _nao(*, latent: bool = True, **settings: int) -> MakeProposer:
    """Makes NAO with or without latent steps and with some settings of its network: its ablations."""

    def make(space: Space) -> Proposer:
        from automl.proposers.nao import LatentSearch, NAOProposer
        from automl.surrogates.nao import NAOSettings

        return NAOProposer(space, search=LatentSearch(latent=latent), settings=NAOSettings(**settings))

    return make


def _proposer(module: str, name: str) -> MakeProposer:
    """Makes the proposer of that name with its default settings; its module is imported when it is wanted."""
    return lambda *args: cast(Proposer, getattr(import_module(f"automl.proposers.{module}"), name)(*args))


_PROPOSERS: Final[Mapping[str, MakeProposer]] = {
    "nasbot": _proposer("nasbot", "NASBOTProposer"),
    "nasbot-noisy": _noisy,
    "nasbot-otmann": _otmann_alone,
    "nao": _proposer("nao", "NAOProposer"),
    "nao-mutation": _nao(latent=False),
    "nao-single": _nao(n_heads=1),
    "nao-supervised": _nao(pretraining_steps=0),
    "nao-pseudo-labels": _nao(pseudo_labels=1000),
    "combined": _proposer("combined", "CombinedProposer"),
    "evolution": _evolution,
    "local-search": _proposer("local_search", "LocalSearchProposer"),
    "uniform": _proposer("uniform", "UniformProposer"),
}
_WITH_SOURCES: Final[Mapping[str, MakeProposer]] = {"transfer": _proposer("transfer", "TransferProposer")}
_ENQUEUED: Final = "+enq"
_INITIAL: Final = "+initial"
_WARM_CMAES: Final = "wscmaes"

SAMPLERS: Final = (*_PROPOSERS, *OPTUNA_SAMPLERS)
"""Names of the samplers, with each of which "NAME+initial" is known too; others, proposers or Optuna's, are named by
their import path, "package.module:callable".
"""

TRANSFER_SAMPLERS: Final = (*_WITH_SOURCES, _WARM_CMAES)
"""Names of the samplers that need past tasks; with these, "NAME+enq" is known too for every name of `SAMPLERS`."""


def needs_sources(name: str) -> bool:
    """Whether a sampler learns from past tasks where there are any; one named by its import path is taken to."""
    return name.endswith(_ENQUEUED) or name in TRANSFER_SAMPLERS or ":" in name


def check_sampler(name: str, space: Space, *, has_sources: bool = False) -> None:
    """Refuses a sampler that nobody knows, or that cannot search the space.

    Raises:
        InputError: If the name is unknown, needs past tasks or simple networks where there are none, or is CMA-ES in a
            space without numbers.
    """
    base = _without_head_start(name)
    if name.endswith(_INITIAL) and not space.initial:
        raise InputError(f"got the sampler {name!r} for a table without simple networks; take {base!r}, which is it.")
    if needs_sources(name) and ":" not in base and not has_sources:
        raise InputError(f"got the sampler {name!r}, which learns from past tasks; add --transfer.")
    if ":" in base:
        _imported(base, has_sources=has_sources)
    elif base not in SAMPLERS and name not in TRANSFER_SAMPLERS:
        known = (*SAMPLERS, *TRANSFER_SAMPLERS)
        raise InputError(
            f"got the sampler {name!r}, expected one of {', '.join(known)}, or the import path of a callable as "
            f"'package.module:callable'; {did_you_mean(base, known)}"
        )
    elif "cmaes" in base and all(isinstance(parameter, Categorical) for parameter in space.parameters.values()):
        raise InputError(
            f"got the sampler {name!r} for a table whose parameters are all categories, expected numbers or ordered "
            "columns; choose another sampler such as 'tpe'."
        )


def make_searcher(name: str, space: Space, seed: int, sources: Sources | None = None) -> Searcher:
    """A search by the sampler of that name.

    Args:
        name: One of `SAMPLERS` or `TRANSFER_SAMPLERS`, with a head start or without, or the import path of a callable
            that takes a space and, where there are past tasks, those too, and returns a proposer or an Optuna sampler;
            it is given the seed where it has a parameter of that name.
        space: What is searched.
        seed: Seed of all its randomness.
        sources: Past tasks.

    Raises:
        InputError: If there is no such sampler, or the callable returns something else.
    """
    base = _without_head_start(name)
    if name.endswith(_INITIAL):
        return HeadStart(_searcher(base, space, seed, sources or {}), space.initial)
    if name.endswith(_ENQUEUED):
        best = [task.candidates[int(task.values[:, 0].argmin())] for task in (sources or {}).values()]
        return HeadStart(_searcher(base, space, seed, {}), best)
    return _searcher(name, space, seed, sources or {})


def _without_head_start(name: str) -> str:
    return name.removesuffix(_INITIAL).removesuffix(_ENQUEUED)


def make_proposer(name: str, space: Space) -> Proposer:
    """The proposer of one of our samplers.

    Raises:
        InputError: If we have none of that name.
    """
    if name not in _PROPOSERS:
        raise InputError(
            f"got the sampler {name!r}, expected one of {', '.join(_PROPOSERS)}; {did_you_mean(name, _PROPOSERS)}"
        )
    return _PROPOSERS[name](space)


def _searcher(name: str, space: Space, seed: int, sources: Sources) -> ProposerSearcher | OptunaSearcher:
    if name == _WARM_CMAES:
        return OptunaSearcher(_warm_cmaes(space, seed, sources), space)
    if name in OPTUNA_SAMPLERS:
        return OptunaSearcher(OPTUNA_SAMPLERS[name](seed), space)
    if name in _PROPOSERS:
        return ProposerSearcher(make_proposer(name, space), seed)
    if name in _WITH_SOURCES:
        return ProposerSearcher(_WITH_SOURCES[name](*_known(space, sources)), seed)
    made = _seeded(_imported(name, has_sources=bool(sources)), seed)(*_known(space, sources))
    if isinstance(made, optuna.samplers.BaseSampler):
        return OptunaSearcher(made, space)
    if not callable(getattr(made, "propose", None)):
        raise InputError(
            f"got the sampler {name!r}, which returned a {type(made).__name__}, expected a proposer or one of Optuna's "
            "samplers; return one of these."
        )
    return ProposerSearcher(made, seed)


def _known(space: Space, sources: Sources) -> tuple[Space] | tuple[Space, Sources]:
    """What the maker of a sampler is called with."""
    return (space, sources) if sources else (space,)


def _seeded(make: MakeAny, seed: int) -> MakeAny:
    """The callable with its parameter `seed` filled in, where it has one."""
    return partial(make, seed=seed) if "seed" in _parameters(make) else make


def _parameters(make: Callable[..., object]) -> Mapping[str, Parameter]:
    try:
        return signature(make).parameters
    except ValueError:  # some written in C say nothing of theirs
        return {}


def _warm_cmaes(space: Space, seed: int, sources: Sources) -> optuna.samplers.BaseSampler:
    """CMA-ES that starts from the promising region of all past evaluations together, ranked task by task.

    It searches numbers alone, and Optuna leaves out past trials that have anything else.
    """
    from scipy.stats import rankdata

    numbers = {name: p for name, p in space.parameters.items() if not isinstance(p, Categorical)}
    distributions = to_distributions(numbers)
    trials = [
        optuna.trial.create_trial(
            params={name: value for name, value in space.encode(candidate).items() if name in numbers},
            distributions=distributions,
            value=float(rank),
        )
        for task in sources.values()
        for candidate, rank in zip(task.candidates, rankdata(task.values[:, 0]) / len(task), strict=True)
    ]
    with experimental_features():  # source_trials, since Optuna 2.6
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False, source_trials=trials)


def _imported(path: str, *, has_sources: bool) -> MakeAny:
    """The callable at an import path; raises InputError where there is none or it cannot be called with a space."""
    module, _, name = path.partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"got the sampler {path!r}, which cannot be imported ({error}); expected 'package.module:callable' on the "
            "Python path: check the spelling."
        ) from error
    if not callable(found):
        raise InputError(f"got the sampler {path!r}, a {type(found).__name__}, expected a callable; name another.")
    given = ["space", "past"] if has_sources else ["space"]
    try:
        signature(found).bind(*given, **({"seed": 0} if "seed" in _parameters(found) else {}))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"got the sampler {path!r}, which cannot be called with {' and '.join(given)} ({error}), expected a "
            "function of these that returns a proposer or one of Optuna's samplers; write one around it."
        ) from error
    return cast(MakeAny, found)
