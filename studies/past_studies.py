"""Past studies as source tasks: found by name, glob or "all", read through Optuna's storage, never written to.

A source that cannot be read (no such name, another storage's fault, several objectives) is told once in a warning and
left out: nothing here is fatal to the study that wants to learn.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage

from automl.meta_features import nearest_tasks
from automl.observations import Candidate
from automl.scales import normal_scores
from automl.spaces.base import Space
from automl.spaces.registry import space_from_dict
from automl.transfer_features import SourceTask, thinned_rows
from studies.attributes import DEFINITION, META_FEATURES
from studies.finished_trials import FinishedTrials, Params, asked_for, finished_trials, n_finished
from studies.history import decoded
from studies.storage import database

_logger = logging.getLogger("automl.studies")

ALL = "all"
"""Stands for every other study of the storage."""

_JSON_VALUES = (bool, int, float, str)


@runtime_checkable
class HasOptunaStudy(Protocol):
    """A `studies.study.Study`, as far as it is read here."""

    @property
    def stored(self) -> optuna.Study:
        """The Optuna study beneath, for reading its trials."""


SourceStudy = HasOptunaStudy | optuna.Study | str
"""A study to learn from: itself, its name, a glob of names such as "mnist-*", or "all"."""


@dataclass(frozen=True, eq=False)
class Located:
    """A study in its storage."""

    name: str
    study_id: int
    storage: BaseStorage


@dataclass(frozen=True, eq=False)
class _Reading:
    """What a source was read as, when it had `n` finished trials of which `rows` at most were wanted.

    It holds on to the storage, by whose place in memory a storage without a URL is known.
    """

    n: int
    rows: int
    task: SourceTask | None
    storage: BaseStorage


@dataclass
class PastStudies:
    """The sources of a target study; each is read again where it has more finished trials than at the last time.

    Args:
        sources: What to learn from.
        storage: Where names are looked up; the target's own storage by default.
        space: The target's space, where it is one of ours: plain studies that searched it too are read by it.
        rows_at_most: Evaluations of all sources together that are decoded; of many sources thirty each.
        nearest: With more sources than that, those whose meta-features are nearest to the target's.

    Raises:
        ValueError: If a source is neither a study nor text.
    """

    sources: Sequence[SourceStudy]
    storage: BaseStorage | None = None
    space: Space | None = None
    rows_at_most: int = 4_000
    nearest: int = 100
    _read: dict[tuple[Hashable, int, str], _Reading] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for source in self.sources:
            if not isinstance(source, SourceStudy):
                raise ValueError(
                    f"got {reprlib.repr(source)} as a source study, expected a study or a name, a glob of names "
                    "or 'all'; load the study first, or write its name."
                )

    def tasks(self, target: optuna.Study) -> list[SourceTask]:
        """The sources that can be read, each with its finished, finite trials; repeated candidates included."""
        located = self._selected(target)
        rows = max(30, self.rows_at_most // max(len(located), 1))
        found = [self._task(source, rows) for source in located]
        return [task for task in found if task is not None]

    def distributions(self, target: optuna.Study) -> dict[str, BaseDistribution]:
        """What the sources' trials asked for, in the order of names, the first source's where several differ.

        That is the order of a search space that Optuna infers: what is guessed and what is found then agree.
        """
        found: dict[str, BaseDistribution] = {}
        for source in self._selected(target):
            for name, distribution in _asked_for(source).items():
                found.setdefault(name, distribution)
        return dict(sorted(found.items()))

    def tell(self, name: str, reason: str) -> None:
        """Warns, once for each source, that it is left out and why."""
        if name not in self._told:
            self._told.add(name)
            _logger.warning("nothing is learnt from study %r: %s.", name, reason)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but what was read, since its storages may be such as cannot be."""
        return {**self.__dict__, "_read": {}}

    # --- which studies ----------------------------------------------------------------------------------------------

    def _selected(self, target: optuna.Study) -> list[Located]:
        """The sources that exist, without the target, each once, the nearest ones where there are many."""
        own = (database(target._storage), target._study_id)
        found: dict[tuple[Hashable, int], Located] = {}
        for source in self.sources:
            for located in self._located(source, target):
                found.setdefault((database(located.storage), located.study_id), located)
                if source == located.name and (database(located.storage), located.study_id) == own:
                    self.tell(located.name, "it is the very study that is to learn; name others")
        chosen = [located for place, located in found.items() if place != own]
        if len(chosen) <= self.nearest:
            return chosen
        # Of the storage, since the study that Optuna's Hyperband shows to samplers hides its attributes.
        wanted = target._storage.get_study_user_attrs(target._study_id).get(META_FEATURES, {})
        facts = [_attributes(source).get(META_FEATURES, {}) for source in chosen]
        return [chosen[i] for i in nearest_tasks(wanted, facts, self.nearest)]

    def _located(self, source: SourceStudy, target: optuna.Study) -> list[Located]:
        if isinstance(source, str):
            return self._by_name(source, self.storage or target._storage)
        study = source if isinstance(source, optuna.Study) else source.stored
        return [Located(study.study_name, study._study_id, study._storage)]

    def _by_name(self, pattern: str, storage: BaseStorage) -> list[Located]:
        try:
            known = {study.study_name: study._study_id for study in storage.get_all_studies()}
        except Exception as error:  # any fault of another database must not stop this study
            self.tell(pattern, f"its storage cannot be read ({error})")
            return []
        is_open = pattern == ALL and ALL not in known
        names = [name for name in known if is_open or name == pattern] or [
            name for name in known if fnmatchcase(name, pattern)
        ]
        if not names:
            self.tell(pattern, "the storage has no study of that name; check the name and the storage")
        return [Located(name, known[name], storage) for name in names]

    # --- what they know ---------------------------------------------------------------------------------------------

    def _task(self, source: Located, rows: int) -> SourceTask | None:
        """What a source knows; None, with a warning, where it cannot be read."""
        try:
            return self._read_task(source, rows)
        except Exception as error:  # a source that vanishes or breaks must not stop this study
            self.tell(source.name, f"it cannot be read ({type(error).__name__}: {error})")
            return None

    def _read_task(self, source: Located, rows: int) -> SourceTask | None:
        directions = source.storage.get_study_directions(source.study_id)
        if len(directions) > 1:
            self.tell(source.name, f"it has {len(directions)} objectives, expected one")
            return None
        # The name belongs to it: a database may give the number of a deleted study to the next one.
        place = (database(source.storage), source.study_id, source.name)
        n = n_finished(source.storage, source.study_id)
        if not n:
            self.tell(source.name, "it has no finished trial, or is no longer there")
        read = self._read.get(place)
        if read is None or (read.n, read.rows) != (n, rows):
            own = _space(_attributes(source))
            trials = finished_trials(source.storage, source.study_id)
            task = _source_task(source.name, trials, own or self.space, own is None, rows)
            read = self._read[place] = _Reading(n, rows, task, source.storage)
        if read.task is None:
            self.tell(source.name, f"none of its {n} finished trials has a finite value and parameters of use")
        return read.task


def _attributes(source: Located) -> dict[str, Any]:
    try:
        return dict(source.storage.get_study_user_attrs(source.study_id))
    except Exception:  # whatever a storage raises for a study that has vanished
        return {}


def _asked_for(source: Located) -> dict[str, BaseDistribution]:
    try:
        return asked_for(source.storage, source.study_id)
    except Exception:  # see above
        return {}


def _space(user_attrs: dict[str, Any]) -> Space | None:
    """The space of a study of ours; None for a plain Optuna study or a space that only its maker knows."""
    try:
        return space_from_dict(user_attrs[DEFINITION]["space"])
    except (KeyError, TypeError, ValueError):
        return None


def _source_task(
    name: str, trials: FinishedTrials, space: Space | None, is_plain: bool, rows: int
) -> SourceTask | None:
    """The trials as a source task of at most `rows` evaluations; None where there is none.

    Args:
        name: Name of the source.
        trials: Its finished trials with a finite value.
        space: What reads a trial's parameters; None for parameters as they are.
        is_plain: Whether parameters that make no candidate of the space are taken as they are.
        rows: Evaluations at most.
    """
    losses, scores = trials.losses, normal_scores(trials.losses)
    kept = thinned_rows(losses, rows).tolist() if len(losses) > rows else list(range(len(losses)))
    read = [(i, _candidate(params, space, is_plain)) for i, params in zip(kept, trials.params(kept), strict=True)]
    inside = [(i, candidate) for i, candidate in read if candidate is not None]
    if not inside:
        return None
    places = [i for i, _ in inside]
    candidates = tuple(candidate for _, candidate in inside)
    return SourceTask(name, candidates, losses[places], scores[places], len(losses))


def _candidate(params: Params, space: Space | None, is_plain: bool) -> Candidate | None:
    """A trial's candidate; in a plain study its parameters, those without a value left out."""
    candidate = None if space is None else decoded(space, params)
    if candidate is not None or not is_plain:
        return candidate
    return Candidate(None, {name: value for name, value in params.items() if isinstance(value, _JSON_VALUES)})
