"""Candidate, Evaluation and Observations: what is proposed, what a training was worth, and what surrogates learn from.

Values here are always losses: smaller is better. `studies.history` turns the sign of objectives that are maximised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.parameters import Value, plain
from kernels.architecture import Architecture

Status = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Candidate:
    """What a trial evaluates: a network architecture, its hyperparameters, or both.

    Args:
        architecture: The layer graph, in canonical order where a space made it; None in a space of hyperparameters
            alone.
        hyperparameters: Values by name; copied, and read-only from then on. True, 1 and 1.0 are different values.
    """

    architecture: Architecture | None
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = {name: plain(value) for name, value in self.hyperparameters.items()}
        object.__setattr__(self, "hyperparameters", MappingProxyType(values))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Candidate):
            return NotImplemented
        return (
            self.architecture == other.architecture
            and self.hyperparameters == other.hyperparameters
            and all(type(value) is type(other.hyperparameters[name]) for name, value in self.hyperparameters.items())
        )

    def __hash__(self) -> int:
        return hash((self.architecture, tuple(sorted(self.hyperparameters.items()))))

    def __reduce__(self) -> tuple[Any, ...]:
        return Candidate, (self.architecture, dict(self.hyperparameters))  # a mappingproxy cannot be sent to workers

    @cached_property
    def digest(self) -> str:
        """Hexadecimal digest, equal for candidates whose graphs are isomorphic and whose hyperparameters are equal."""
        graph = "" if self.architecture is None else self.architecture.digest
        text = graph + json.dumps(dict(self.hyperparameters), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """The candidate as JSON-ready fields."""
        architecture = None if self.architecture is None else self.architecture.to_dict()
        return {"architecture": architecture, "hyperparameters": dict(self.hyperparameters)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Candidate:
        """The inverse of `to_dict`; raises ValueError where the architecture is no valid layer graph."""
        architecture = fields["architecture"]
        graph = None if architecture is None else Architecture.from_dict(architecture)
        return cls(graph, fields["hyperparameters"])


@dataclass(frozen=True)
class Evaluation:
    """The outcome of training a candidate once.

    Args:
        status: "complete", "pruned" (stopped by the caller's report) or "failed" (diverged, out of memory, ...).
        value: The task's metric at the best epoch, in the metric's own units and direction; NaN where the training
            failed.
        metrics: Every metric of the task on the validation part at that epoch, by name.
        curve: The task's metric on the validation part after every epoch.
        best_epoch: Number of epochs after which `value` was reached, from 1; 0 where the training failed at once.
        epochs: Epochs trained.
        seconds: Wall time of the training.
        n_parameters: Number of trained weights.
        reason: One sentence that says why a training failed or was pruned; empty where it completed.
    """

    status: Status
    value: float
    metrics: Mapping[str, float]
    curve: tuple[float, ...]
    best_epoch: int
    epochs: int
    seconds: float
    n_parameters: int
    reason: str = ""


@dataclass(frozen=True)
class Observations:
    """All that is known of a search so far: the data of every surrogate and proposer.

    Args:
        candidates: The n candidates whose values are known.
        values: Their losses, an `n x m` array for m objectives (or n numbers for one), smaller is better, all finite;
            copied, and read-only from then on.
        pending: Candidates that are being evaluated elsewhere: a proposer must not propose them again.
        failed: Candidates whose evaluation failed: infeasible, not to be proposed again.

    Raises:
        ValueError: If values are not finite or do not match the candidates, or something else stands among these.
    """

    candidates: tuple[Candidate, ...] = ()
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 1)))
    pending: tuple[Candidate, ...] = ()
    failed: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        for name in ("candidates", "pending", "failed"):
            object.__setattr__(self, name, _candidates(name, getattr(self, name)))
        try:
            values = np.array(self.values, dtype=np.float64, ndmin=1)  # a copy: the caller's own array stays writable
        except (TypeError, ValueError):
            raise ValueError(f"got the values {self.values!r}, expected numbers; give one row a candidate.") from None
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or values.shape[0] != len(self.candidates):
            raise ValueError(
                f"got values of the shape {values.shape} for {len(self.candidates)} candidates, expected one row a "
                "candidate and one column an objective; mend the array."
            )
        if not np.isfinite(values).all():
            raise ValueError(
                "got values that are NaN or infinite, expected finite losses; list such candidates as failed."
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.candidates)

    def first(self, n: int) -> Observations:
        """The first n values and their candidates alone."""
        return Observations(self.candidates[:n], self.values[:n])

    def with_pending(self, more: Iterable[Candidate]) -> Observations:
        """The same with further candidates pending, such as those that the same call has proposed already."""
        return Observations(self.candidates, self.values, (*self.pending, *more), self.failed)

    @cached_property
    def digests(self) -> frozenset[str]:
        """Digests of every candidate seen, pending and failed ones included: what is not to be proposed again."""
        return frozenset(candidate.digest for candidate in (*self.candidates, *self.pending, *self.failed))


def _candidates(name: str, given: Any) -> tuple[Candidate, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"got {name} = {given!r}, expected a list of candidates; put them in one.")
    listed = tuple(given)
    strange = next((entry for entry in listed if not isinstance(entry, Candidate)), None)
    if strange is not None:
        raise ValueError(
            f"got a {type(strange).__name__} among {name}, expected Candidate(...) alone; of an architecture make "
            "Candidate(architecture)."
        )
    return listed
