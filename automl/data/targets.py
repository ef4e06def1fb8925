"""TargetCoding: how a target is coded for a network, and how a network's outputs are turned into predictions.

A plain value that goes through JSON, like `automl.data.preprocessing.Preprocessor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.data.tables import (
    Column,
    as_numbers,
    as_texts,
    check_finite,
    first_strange,
    is_numeric,
    missing,
    standard_deviation,
)
from automl.errors import InputError

Kind = Literal["classification", "regression"]
"""What is predicted: classes, by their probabilities, or numbers."""

Label = str | int

# Whole numbers with more values than this are no class indices.
_MAX_CODES = 20


@dataclass(frozen=True)
class TargetCoding:
    """How a target is coded for a network, and its outputs read.

    Args:
        name: The target's column.
        kind: "classification" (one logit a class) or "regression" (one standardised value).
        classes: The class labels, sorted; empty for regression.
        mean: What is subtracted from the values of a regression.
        scale: What they are divided by.
        doubt: Probability that the surest prediction of a class leaves to the others together, from 0 to below 1.
    """

    name: str
    kind: Kind
    classes: tuple[Label, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    doubt: float = 0.0

    @property
    def n_outputs(self) -> int:
        """Outputs that a network needs: one a class, or one."""
        return len(self.classes) if self.kind == "classification" else 1

    def standardised(self, column: Column, rows: NDArray[np.intp]) -> TargetCoding:
        """The coding whose regression targets have mean 0 and standard deviation 1 on some rows of the column."""
        values = as_numbers(column)
        if self.kind == "classification" or values is None:
            return self
        return replace(self, mean=float(values[rows].mean()), scale=standard_deviation(values[rows]))

    def doubted(self, n_validated: int) -> TargetCoding:
        """The coding whose probabilities claim no more than validation rows can vouch for.

        Of networks that predict all rows without a fault the log loss else prefers the surest, and a single fault of it
        on a new row costs as much as it likes. Who was right `n_validated` times of `n_validated` is wrong the next
        time with probability 1 / (n_validated + 2), by Laplace's law of succession (Gelman et al. 2013, "Bayesian
        Data Analysis", section 2.1).
        """
        return replace(self, doubt=1 / (n_validated + 2)) if self.kind == "classification" else self

    def encode(self, column: Column) -> NDArray[np.int64] | NDArray[np.float32]:
        """Targets [n] for a network: class indices, or standardised values.

        Raises:
            InputError: If a value is missing, no number in a regression, or a class that was never trained on.
        """
        _check_target_gaps(self.name, column)
        if self.kind == "regression":
            return ((target_numbers(self.name, column) - self.mean) / self.scale).astype(np.float32)
        index = {str(label): i for i, label in enumerate(self.classes)}
        texts = as_texts(column)
        strange = sorted({str(text) for text in texts if text not in index})
        if strange:
            raise InputError(
                f"target {self.name!r} holds {', '.join(map(repr, strange[:5]))}, expected one of the classes "
                f"{list(self.classes)[:20]}; mend or remove these rows."
            )
        return np.array([index[text] for text in texts], dtype=np.int64)

    def decode(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Predictions of outputs [n, n_outputs]: probabilities [n, classes], or values [n] in the target's units.

        Probabilities are those of the softmax, mixed with equal ones as far as `doubt` asks: their order stays.
        """
        values = outputs.astype(np.float64)
        if self.kind == "regression":
            return np.asarray(values[:, 0] * self.scale + self.mean)
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        n_classes = len(self.classes)
        share = self.doubt * n_classes / (n_classes - 1)  # of equal probabilities, so that the surest is 1 - doubt
        return np.asarray((1 - share) * exponentials / exponentials.sum(axis=1, keepdims=True) + share / n_classes)

    def labels(self, probabilities: NDArray[np.float64]) -> NDArray[Any]:
        """The most probable class of each row, as the user's labels [n]."""
        labels: NDArray[Any] = np.asarray(self.classes)
        return np.asarray(labels[probabilities.argmax(axis=1)])

    def to_dict(self) -> dict[str, Any]:
        """The coding as JSON-ready fields."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TargetCoding:
        """The inverse of `to_dict`."""
        return cls(**{**fields, "classes": tuple(fields["classes"])})


def fit_target(name: str, column: Column, kind: Kind | None) -> tuple[TargetCoding, str]:
    """How a target is to be coded, a regression's values as yet unscaled (`TargetCoding.standardised`).

    Where `kind` is None the rule is: texts (truth values and categories too) are classes; so are whole numbers with at
    most 20 different values that are two, or at most a tenth of the rows; everything else is a regression.

    Returns:
        The coding, and one sentence on how the target was read.

    Raises:
        InputError: If values are missing, infinite, all the same, or texts in a regression.
    """
    _check_target_gaps(name, column)
    if is_numeric(column):
        check_finite(name, column)
    if len(set(column.tolist())) < 2:
        raise InputError(
            f"target {name!r} holds one value only ({as_texts(column)[0]!r}), expected at least two; "
            "choose another target."
        )
    chosen = kind or _kind_of(column)
    reading = "as given" if kind else "by its values; kind overrides it"
    if chosen == "regression":
        target_numbers(name, column)  # refuses texts
        return TargetCoding(name, "regression"), f"target {name!r} is read as a regression ({reading})."
    classes = _classes(column)
    coding = TargetCoding(name, "classification", classes)
    return coding, f"target {name!r} is read as {len(classes)} classes ({reading})."


def target_numbers(name: str, column: Column) -> NDArray[np.float64]:
    """The values [n] of a regression's target.

    Raises:
        InputError: If one is no number.
    """
    values = as_numbers(column)
    if values is None:
        raise InputError(
            f"target {name!r} holds texts such as {first_strange(column)!r}, expected numbers for a regression; mend "
            "these rows, or train a classifier (--kind classification, or kind='classification' in Python)."
        )
    return values


def _kind_of(column: Column) -> Kind:
    if not is_numeric(column):
        return "classification"
    distinct = len(set(column.tolist()))
    whole = bool((column == np.round(column.astype(np.float64))).all())
    few = distinct <= _MAX_CODES and (distinct == 2 or 10 * distinct <= len(column))
    return "classification" if whole and few else "regression"


def _classes(column: Column) -> tuple[Label, ...]:
    if is_numeric(column) and all(float(value).is_integer() for value in column):
        return tuple(sorted({int(value) for value in column}))
    if is_numeric(column):
        return tuple(str(value) for value in as_texts(np.array(sorted(set(column.tolist())))))
    return tuple(sorted({str(value) for value in column}))


def _check_target_gaps(name: str, column: Column) -> None:
    gaps = int(missing(column).sum())
    if gaps:
        raise InputError(
            f"target {name!r} is missing in {gaps} of {len(column)} rows (texts such as NA or None in a CSV file count "
            "as missing too), expected a value in each; fill, rename or remove these."
        )
