"""What this project writes into an Optuna storage beside parameters and values, and how to read it back.

A study carries one versioned definition, from which any process can join it by name alone. A finished trial carries
facts for people: the layer graph as a dict (the dashboard shortens dicts, not strings), its size, the epochs, the
reason of a failure. All keys begin with "automl:". This module imports no Optuna, torch or storage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from automl.errors import InputError

PREFIX = "automl:"

# Of a study.
DEFINITION = PREFIX + "definition"
BUDGET = PREFIX + "budget"
META_FEATURES = PREFIX + "meta_features"

# Of a trial, for people (user attributes).
ARCHITECTURE = PREFIX + "architecture"
DEPTH = PREFIX + "depth"
PARAMETERS = PREFIX + "parameters"
FLOPS = PREFIX + "flops"
EPOCHS = PREFIX + "epochs"
BEST_EPOCH = PREFIX + "best_epoch"
SECONDS = PREFIX + "seconds"
CURVE = PREFIX + "curve"
METRICS = PREFIX + "metrics"
REASON = PREFIX + "reason"
NOTES = PREFIX + "notes"
PROPOSAL_SECONDS = PREFIX + "proposal_seconds"

# Of a trial, for other workers (system attributes).
PROPOSAL = PREFIX + "proposal"
TRANSFER = PREFIX + "transfer"

# Optuna's own name for the numbers of the trials that a queued one takes the place of.
RETRY_HISTORY = "retry_history"

_DEFINITION_VERSION = 1


class AttributeTrial(Protocol):
    """The part of an Optuna trial (running or frozen) that is read here."""

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Attributes for people, by key."""

    @property
    def system_attrs(self) -> dict[str, Any]:
        """Attributes for samplers and workers, by key."""


@dataclass(frozen=True)
class StudyDefinition:
    """All that another process needs to go on with a study.

    Args:
        task: Reference of the task (`automl.task.Task.reference`).
        task_name: The task's name, for people.
        task_digest: Digest of the task's data.
        metric: Name of the objective's metric.
        direction: "minimize" or "maximize".
        space: The search space (`Space.to_dict`).
        settings: The trainer's settings as fields.
        sampler: Name of the sampler; "custom" for a sampler object that the user passed.
        pruner: Name of the pruner; "custom" for an object that the user passed.
        seed: Seed of the study: proposals and initial weights follow from it and the trial's number.
        transfer_from: Names of the source studies.
        models_dir: Where the best trial's weights are kept; None for beside the storage.
    """

    task: Mapping[str, Any]
    task_name: str
    task_digest: str
    metric: str
    direction: str
    space: Mapping[str, Any]
    settings: Mapping[str, Any]
    sampler: str
    seed: int
    pruner: str = "quartile"
    transfer_from: tuple[str, ...] = ()
    models_dir: str | None = None

    @property
    def maximises(self) -> bool:
        """Whether larger values of the metric are better."""
        return self.direction == "maximize"

    def to_dict(self) -> dict[str, Any]:
        """The definition as JSON-ready fields with their version."""
        return {"version": _DEFINITION_VERSION, **asdict(self), "transfer_from": list(self.transfer_from)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> StudyDefinition:
        """The inverse of `to_dict`.

        Raises:
            InputError: If the fields were written by a newer version of this project.
        """
        version = fields.get("version")
        if version != _DEFINITION_VERSION:
            raise InputError(
                f"got a study definition of version {version!r}, expected {_DEFINITION_VERSION}; "
                "install the release of automl-studies that wrote it."
            )
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        return cls(**{**known, "transfer_from": tuple(fields.get("transfer_from", ()))})


def read_definition(study_name: str, user_attrs: Mapping[str, Any]) -> StudyDefinition:
    """The definition among a study's user attributes.

    Raises:
        InputError: If there is none, or one of a newer version.
    """
    if DEFINITION not in user_attrs:
        raise InputError(
            f"study {study_name!r} has no {DEFINITION!r} attribute, expected one written by studies.create_study; "
            "open it with optuna.load_study, or choose another study."
        )
    return StudyDefinition.from_dict(user_attrs[DEFINITION])


@dataclass(frozen=True)
class TrialFacts:
    """What a trial's user attributes say; None (or empty) where the trial has not come so far.

    Args:
        architecture: The layer graph (`Architecture.to_dict`).
        depth: Edges on the longest path from input to output.
        parameters: Number of trained weights.
        flops: Floating-point operations of one forward pass of one example.
        epochs: Epochs trained.
        best_epoch: Epochs after which the value was reached, from 1.
        seconds: Wall time of the training.
        curve: The metric on the validation part after every epoch; None where it was not finite.
        metrics: Every metric at the best epoch, by name; None where it was not finite.
        reason: Why the training failed or was pruned; empty where it completed.
        notes: What the proposer says of its proposal.
        proposal_seconds: Wall time of the proposal.
    """

    architecture: Mapping[str, Any] | None = None
    depth: int | None = None
    parameters: int | None = None
    flops: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    curve: tuple[float | None, ...] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    reason: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    proposal_seconds: float | None = None

    def to_user_attrs(self) -> dict[str, Any]:
        """The facts that are known, by attribute key, JSON-ready."""
        empty = TrialFacts()
        known = {name: getattr(self, name) for name in _FACT_KEYS if getattr(self, name) != getattr(empty, name)}
        return {_FACT_KEYS[name]: json_ready(value) for name, value in known.items()}

    @classmethod
    def from_user_attrs(cls, user_attrs: Mapping[str, Any]) -> TrialFacts:
        """The facts among a trial's user attributes; foreign attributes are ignored."""
        known = {name: user_attrs[key] for name, key in _FACT_KEYS.items() if key in user_attrs}
        return cls(**{**known, "curve": tuple(known.get("curve", ()))})


_FACT_KEYS = {
    "architecture": ARCHITECTURE,
    "depth": DEPTH,
    "parameters": PARAMETERS,
    "flops": FLOPS,
    "epochs": EPOCHS,
    "best_epoch": BEST_EPOCH,
    "seconds": SECONDS,
    "curve": CURVE,
    "metrics": METRICS,
    "reason": REASON,
    "notes": NOTES,
    "proposal_seconds": PROPOSAL_SECONDS,
}


def retried_numbers(trials: Iterable[AttributeTrial]) -> frozenset[int]:
    """Numbers of the trials that were interrupted, or whose worker died, and that have been queued once more since."""
    return frozenset(number for trial in trials for number in trial.system_attrs.get(RETRY_HISTORY, ()))


def json_ready(value: Any) -> Any:
    """The value as JSON can hold it: mappings and sequences of numbers, strings and None.

    NumPy's numbers become Python's; NaN and infinities become None, since browsers read no such JSON.
    """
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [json_ready(item) for item in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
