"""Preprocessor and TargetCoding: from a table's columns to a network's inputs, and from its outputs to predictions.

Both are fitted on the training part alone and are plain values that go through JSON, so that a saved model applies
the very same arithmetic with neither scikit-learn nor pandas. Numbers are imputed by the median and standardised,
with an indicator where the training part had gaps; texts are one-hot, "missing" and pooled rare levels included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.errors import InputError, nearest
from automl.tables import Column, Table, as_numbers, as_texts, is_numeric, missing

Kind = Literal["classification", "regression"]
Label = str | int

# Standardised numbers beyond this are outliers that would otherwise dominate every gradient (or, in prediction, leave
# what the network has seen); 10 standard deviations touch nothing in well-behaved columns.
_CLIP = 10.0
# Beyond this, sums of squares leave the range of float64.
_LARGEST = 1e100
# Levels seen once cannot be learned: they are pooled as one level, "other".
_MIN_LEVEL_COUNT = 2
MAX_LEVELS = 100
_MAX_LEVELS_OF_CODES = 20


@dataclass(frozen=True)
class Numbers:
    """The numeric columns: how each is imputed and standardised.

    Args:
        names: Columns, in the order of the inputs.
        median: What stands for a missing value, by column.
        mean: What is subtracted, by column.
        scale: What is divided by, by column.
        indicated: Names of the columns with a further input that says where the value was missing.
    """

    names: tuple[str, ...]
    median: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    indicated: tuple[str, ...]

    def transform(self, columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Inputs [n, columns + indicators] of the columns' raw values, in the order of `names`."""
        raw = np.stack(columns, axis=1)
        gaps = np.isnan(raw)
        filled = np.where(gaps, np.asarray(self.median), raw)
        standard = np.clip((filled - np.asarray(self.mean)) / np.asarray(self.scale), -_CLIP, _CLIP)
        indicators = gaps[:, [self.names.index(name) for name in self.indicated]]
        return np.concatenate([standard, indicators.astype(np.float64)], axis=1)


@dataclass(frozen=True)
class Levels:
    """One column of texts: the levels that have an input of their own.

    Args:
        name: The column.
        levels: Levels with an input each, sorted; None stands for "missing".
        rare: Levels of the training part pooled into one further input, "other", which unseen levels share.
    """

    name: str
    levels: tuple[str | None, ...]
    rare: tuple[str, ...]

    @property
    def n_inputs(self) -> int:
        """Inputs that the column becomes."""
        return len(self.levels) + bool(self.rare)

    def transform(self, texts: NDArray[np.object_]) -> tuple[NDArray[np.float64], Counter[str]]:
        """One-hot inputs [n, n_inputs], and how often each level occurred that the training part did not hold."""
        position = {level: i for i, level in enumerate(self.levels)}
        known = set(self.levels) | set(self.rare)
        unseen = Counter(text for text in texts if text is not None and text not in known)
        # Without pooled levels an unseen one has no input: all zeros, since an input never trained would be noise.
        other = len(self.levels) if self.rare else -1
        codes = np.array([position.get(text, -1 if text is None else other) for text in texts], dtype=np.intp)
        one_hot = np.zeros((len(texts), self.n_inputs))
        rows = np.flatnonzero(codes >= 0)
        one_hot[rows, codes[rows]] = 1.0
        return one_hot, unseen


@dataclass(frozen=True)
class Preprocessor:
    """Turns tables into the inputs of a network: numbers first, then their indicators, then each column of texts.

    Args:
        columns: Every column of the table it was fitted on, in order: what the columns of a bare array are.
        numbers: The numeric columns.
        texts: The columns of texts that are used.
    """

    columns: tuple[str, ...]
    numbers: Numbers
    texts: tuple[Levels, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return (*self.numbers.names, *(levels.name for levels in self.texts))

    @property
    def n_features(self) -> int:
        """Number of inputs that every row becomes."""
        numbers = len(self.numbers.names) + len(self.numbers.indicated)
        return numbers + sum(levels.n_inputs for levels in self.texts)

    def transform(self, table: Table) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Inputs [n, n_features] of a table, and one sentence for each column that held levels never trained on.

        Raises:
            InputError: If a column is absent, holds infinite values, or texts where numbers are expected.
        """
        self._check_columns(table)
        blocks: list[NDArray[np.float64]] = []
        notes: list[str] = []
        if self.numbers.names:
            blocks.append(self.numbers.transform([_numbers_of(table, name) for name in self.numbers.names]))
        for levels in self.texts:
            block, unseen = levels.transform(as_texts(table.columns[levels.name]))
            blocks.append(block)
            if unseen:
                notes.append(_unseen_note(levels.name, unseen, len(table)))
        return np.concatenate(blocks, axis=1).astype(np.float32), tuple(notes)

    def _check_columns(self, table: Table) -> None:
        lacking = [name for name in self.names if name not in table.columns]
        if lacking:
            plural = "s" if len(lacking) > 1 else ""
            raise InputError(
                f"the data lack the column{plural} {', '.join(map(repr, lacking[:8]))}"
                f"{' and others' if len(lacking) > 8 else ''}; expected every column that was trained on, and the "
                f"nearest names there are {nearest(lacking[0], table.columns)}: add or rename."
            )

    def to_dict(self) -> dict[str, Any]:
        """The preprocessor as JSON-ready fields."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preprocessor:
        """The inverse of `to_dict`."""
        numbers = Numbers(**{name: tuple(values) for name, values in fields["numbers"].items()})
        texts = tuple(Levels(t["name"], tuple(t["levels"]), tuple(t["rare"])) for t in fields["texts"])
        return cls(tuple(fields["columns"]), numbers, texts)


def fit_preprocessor(
    table: Table, rows: NDArray[np.intp], *, max_levels: int = MAX_LEVELS, shared_scale: bool = False
) -> tuple[Preprocessor, tuple[str, ...]]:
    """Fits a preprocessor on some rows of a table.

    Args:
        table: The columns to use, all of them.
        rows: Indices of the training part.
        max_levels: Most levels that a column of texts may have in the whole table.
        shared_scale: Whether all numeric columns share one mean and scale, as the pixels of an image do.

    Returns:
        The preprocessor, and one sentence for each decision that the user should know.

    Raises:
        InputError: If a column is all missing, holds infinite values, or has more than `max_levels` levels, or if
            nothing is left to learn from.
    """
    numeric = {name: column for name, column in table.columns.items() if _check_column(name, column, max_levels)}
    notes = []
    numbers = _fit_numbers({name: column[rows] for name, column in numeric.items()}, shared_scale)
    texts = []
    for name, column in table.columns.items():
        if name not in numeric:
            levels = _fit_levels(name, column[rows])
            if levels.n_inputs > 1:
                texts.append(levels)
            else:
                notes.append(f"column {name!r} is left out: no two of its levels repeat in the training part.")
    preprocessor = Preprocessor(tuple(table.columns), numbers, tuple(texts))
    if not preprocessor.n_features:
        raise InputError("the data have no column to learn from beside the target; expected at least one: add it.")
    return preprocessor, tuple(notes)


def _check_column(name: str, column: Column, max_levels: int) -> bool:
    """Whether a column is numeric; refuses columns that cannot be learned from."""
    gaps = missing(column)
    if gaps.all():
        raise InputError(
            f"column {name!r} holds no value at all, expected at least one; fill it, remove it, or leave it out "
            f"(--ignore {name}, or ignore=({name!r},) in Python)."
        )
    if is_numeric(column):
        _check_finite(name, column)
        return True
    levels = len(set(column[~gaps]))
    if levels > max_levels:
        raise InputError(
            f"column {name!r} holds {levels} different texts in {len(column)} rows, expected at most {max_levels} "
            f"levels; group them, leave the column out (--ignore {name}, or ignore=({name!r},) in Python), or raise "
            "max_levels."
        )
    return False


def _check_finite(name: str, column: NDArray[np.float64]) -> None:
    infinite = np.abs(column) > _LARGEST
    if infinite.any():
        raise InputError(
            f"column {name!r} holds {int(infinite.sum())} infinite values or such beyond "
            f"{_LARGEST:g} (first in row {int(infinite.argmax()) + 1}), "
            "expected finite numbers or gaps; mend or empty these cells."
        )


def _fit_numbers(columns: Mapping[str, Column], shared_scale: bool) -> Numbers:
    median, mean, scale, indicated = [], [], [], []
    for name, column in columns.items():
        values = column.astype(np.float64)
        present = values[~np.isnan(values)]
        median.append(float(np.median(present)) if len(present) else 0.0)
        mean.append(float(np.mean(present)) if len(present) else 0.0)
        scale.append(_scale(present))
        if 0 < len(present) < len(values):
            indicated.append(name)
    if shared_scale and columns:
        pixels = np.concatenate([column.astype(np.float64) for column in columns.values()])
        mean, scale = [float(np.nanmean(pixels))] * len(columns), [_scale(pixels[~np.isnan(pixels)])] * len(columns)
    return Numbers(tuple(columns), tuple(median), tuple(mean), tuple(scale), tuple(indicated))


def _scale(values: NDArray[np.float64]) -> float:
    """Standard deviation, or 1 where the values are constant up to rounding."""
    if not len(values):
        return 1.0
    deviation = float(np.std(values))
    return deviation if deviation > 1e-12 * max(1.0, float(np.abs(values).max())) else 1.0


def _fit_levels(name: str, column: Column) -> Levels:
    counts = Counter(column.tolist())
    common = sorted(level for level, count in counts.items() if level is not None and count >= _MIN_LEVEL_COUNT)
    rare = sorted(level for level, count in counts.items() if level is not None and count < _MIN_LEVEL_COUNT)
    gaps: tuple[None, ...] = (None,) if None in counts else ()
    return Levels(name, (*common, *gaps), tuple(rare))


def _numbers_of(table: Table, name: str) -> NDArray[np.float64]:
    column = table.columns[name]
    numbers = as_numbers(column)
    if numbers is None:
        strange = next(text for text in column if text is not None and as_numbers(np.array([text], object)) is None)
        raise InputError(
            f"column {name!r} holds the text {strange!r}, expected numbers as in training; mend or empty these cells."
        )
    _check_finite(name, numbers)
    return numbers


def _unseen_note(name: str, unseen: Counter[str], n_rows: int) -> str:
    examples = ", ".join(repr(level) for level, _ in unseen.most_common(3)) + (", ..." if len(unseen) > 3 else "")
    count = sum(unseen.values())
    return (
        f"column {name!r}: {count} of {n_rows} rows hold {'a level' if len(unseen) == 1 else f'{len(unseen)} levels'} "
        f"unseen in training ({examples}), treated as unknown."
    )


@dataclass(frozen=True)
class TargetCoding:
    """How a target is coded for a network, and its outputs read.

    Args:
        name: The target's column.
        kind: "classification" (one logit a class) or "regression" (one standardised value).
        classes: The class labels, sorted; empty for regression.
        mean: What is subtracted from the values of a regression.
        scale: What they are divided by.
    """

    name: str
    kind: Kind
    classes: tuple[Label, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def n_outputs(self) -> int:
        """Outputs that a network needs: one a class, or one."""
        return len(self.classes) if self.kind == "classification" else 1

    def standardised(self, column: Column, rows: NDArray[np.intp]) -> TargetCoding:
        """The coding whose regression targets have mean 0 and standard deviation 1 on some rows of the column."""
        values = as_numbers(column)
        if self.kind == "classification" or values is None:
            return self
        return replace(self, mean=float(values[rows].mean()), scale=_scale(values[rows]))

    def encode(self, column: Column) -> NDArray[np.int64] | NDArray[np.float32]:
        """Targets [n] for a network: class indices, or standardised values.

        Raises:
            InputError: If a value is missing, no number in a regression, or a class that was never trained on.
        """
        _check_target_gaps(self.name, column)
        if self.kind == "regression":
            values = as_numbers(column)
            if values is None:
                raise InputError(
                    f"target {self.name!r} holds texts, expected numbers for a regression; mend these rows, or train "
                    "with kind='classification'."
                )
            return ((values - self.mean) / self.scale).astype(np.float32)
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
        """Predictions of outputs [n, n_outputs]: probabilities [n, classes], or values [n] in the target's units."""
        values = outputs.astype(np.float64)
        if self.kind == "regression":
            return np.asarray(values[:, 0] * self.scale + self.mean)
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

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
        _check_finite(name, column)
    if len(set(column.tolist())) < 2:
        raise InputError(
            f"target {name!r} holds one value only ({as_texts(column)[0]!r}), expected at least two; "
            "choose another target."
        )
    chosen = kind or _kind_of(column)
    reading = "as given" if kind else "by its values; kind overrides it"
    if chosen == "regression":
        coding = TargetCoding(name, "regression")
        coding.encode(column)  # refuses texts
        return coding, f"target {name!r} is read as a regression ({reading})."
    classes = _classes(column)
    return TargetCoding(
        name, "classification", classes
    ), f"target {name!r} is read as {len(classes)} classes ({reading})."


def _kind_of(column: Column) -> Kind:
    if not is_numeric(column):
        return "classification"
    distinct = len(set(column.tolist()))
    whole = bool((column == np.round(column.astype(np.float64))).all())
    few = distinct <= _MAX_LEVELS_OF_CODES and (distinct == 2 or 10 * distinct <= len(column))
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
            f"target {name!r} is missing in {gaps} of {len(column)} rows, expected a value in each; "
            "fill or remove these rows."
        )
