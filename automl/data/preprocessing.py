"""Preprocessor: from a table's columns to a network's inputs.

It is fitted on the training part alone and a plain value that goes through JSON, so that a saved model applies the
very same arithmetic with neither scikit-learn nor pandas. Numbers are imputed by the median and standardised,
with an indicator where the training part had gaps (but not in images, which have an input a pixel); texts are one-hot,
"missing" and pooled rare levels included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.tables import (
    Column,
    Table,
    as_numbers,
    as_texts,
    check_finite,
    first_strange,
    is_numeric,
    missing,
    standard_deviation,
)
from automl.errors import InputError, nearest

# Standardised numbers beyond this are outliers that would otherwise dominate every gradient (or, in prediction, leave
# what the network has seen); 10 standard deviations touch nothing in well-behaved columns.
_CLIP = 10.0
# Levels seen once cannot be learned: they are pooled as one level, "other".
_MIN_LEVEL_COUNT = 2
MAX_LEVELS = 100
_TRUTH_VALUES = frozenset(("True", "False"))
_TRUTH_OF_NUMBERS: Mapping[str | None, str] = {"1": "True", "0": "False"}
# Values further from the median than this many interquartile ranges are typing errors or codes of missing values, if
# they are few: a deviation taken with them would leave little of the column. Hardly any distribution goes that far.
_ABSURD_RANGES, _MAX_ABSURD_SHARE = 100.0, 0.05
# More levels than this are told: they may be numbers with units.
_MANY_LEVELS = 20


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
        standard = np.clip(self._standardised(np.where(gaps, np.asarray(self.median), raw)), -_CLIP, _CLIP)
        indicators = gaps[:, [self.names.index(name) for name in self.indicated]]
        return np.concatenate([standard, indicators.astype(np.float64)], axis=1)

    def far(self, columns: Sequence[NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """The raw values of each column, in the order of `names`, that are clipped since they lie far from training."""
        raw = np.stack(columns, axis=1)
        beyond = np.abs(self._standardised(raw)) > _CLIP  # missing values are not
        return {name: raw[beyond[:, i], i] for i, name in enumerate(self.names) if beyond[:, i].any()}

    def _standardised(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        standard: NDArray[np.float64] = (raw - np.asarray(self.mean)) / np.asarray(self.scale)
        return standard


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
        known = {level for level in self.levels if level is not None} | set(self.rare)
        if known <= _TRUTH_VALUES:  # which files spell in their own way: TRUE, true, 1
            texts = np.array([_truth_value(text) for text in texts], dtype=object)
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
        """Inputs [n, n_features] of a table, and what is told of columns unlike those that were trained on.

        Levels that training did not hold are told for each column, numbers far from it for all columns together.

        Raises:
            InputError: If a column is absent, holds infinite values, or texts where numbers are expected.
        """
        self._check_columns(table)
        blocks: list[NDArray[np.float64]] = []
        notes: list[str] = []
        if self.numbers.names:
            numbers = [_numbers_of(table, name) for name in self.numbers.names]
            blocks.append(self.numbers.transform(numbers))
            notes += _far_note(self.numbers.far(numbers))
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
            there = (
                f"the nearest names there are {nearest(lacking[0], table.columns)}"
                if table.columns
                else "there is none"
            )
            raise InputError(
                f"the data lack the column{plural} {', '.join(map(repr, lacking[:8]))}"
                f"{' and others' if len(lacking) > 8 else ''}; expected every column that was trained on, and "
                f"{there}: add or rename."
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
    numbers = _fit_numbers({name: column[rows] for name, column in numeric.items()}, shared_scale)
    if shared_scale:
        measured = {"the pixels": np.concatenate([np.empty(0), *numeric.values()])}
    else:
        measured = {f"column {name!r}": column for name, column in numeric.items()}
    notes = [note for what, values in measured.items() for note in _absurd_note(what, values)]
    texts = []
    for name, column in table.columns.items():
        if name not in numeric:
            levels = _fit_levels(name, column[rows])
            if levels.n_inputs > 1:
                texts.append(levels)
                if len(levels.levels) > _MANY_LEVELS:
                    example = next(level for level in levels.levels if level is not None)
                    notes.append(f"column {name!r} is read as texts such as {example!r}: {levels.n_inputs} inputs.")
            else:
                reason = "no two of its levels repeat" if levels.rare else "all its values are the same"
                notes.append(f"column {name!r} is left out: {reason} in the training part.")
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
            f"(--ignore {quote(name)}, or ignore=({name!r},) in Python)."
        )
    if is_numeric(column):
        check_finite(name, column)
        return True
    levels = len(set(column[~gaps]))
    if levels > max_levels:
        raise InputError(
            f"column {name!r} holds {levels} different texts such as {column[~gaps][0]!r} in {len(column)} rows, "
            f"expected at most {max_levels} levels; write numbers without units, group texts, leave the column out "
            f"(--ignore {quote(name)}, or ignore=({name!r},) in Python), or raise the limit (--max-levels, or "
            "max_levels= in Python)."
        )
    return False


def _fit_numbers(columns: Mapping[str, Column], shared_scale: bool) -> Numbers:
    median, mean, scale, indicated = [], [], [], []
    for name, column in columns.items():
        values = column.astype(np.float64)
        present = values[~np.isnan(values)]
        median.append(float(np.median(present)) if len(present) else 0.0)
        usual = present[~_absurd(present)]
        mean.append(float(np.mean(usual)) if len(usual) else 0.0)
        scale.append(standard_deviation(usual))
        if 0 < len(present) < len(values) and not shared_scale:  # an image has no room for further inputs
            indicated.append(name)
    if shared_scale and columns:
        pixels = np.concatenate([column.astype(np.float64) for column in columns.values()])
        present = pixels[~np.isnan(pixels)]
        usual = present[~_absurd(present)]
        mean = [float(np.mean(usual)) if len(usual) else 0.0] * len(columns)
        scale = [standard_deviation(usual)] * len(columns)
    return Numbers(tuple(columns), tuple(median), tuple(mean), tuple(scale), tuple(indicated))


def _absurd(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of a column's values, none of them missing, are too far away to be measured: none if these are many."""
    if not len(values):
        return np.zeros(0, dtype=bool)
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    far: NDArray[np.bool_] = np.abs(values - middle) > _ABSURD_RANGES * (high - low)
    return far if high > low and far.mean() <= _MAX_ABSURD_SHARE else np.zeros(len(values), dtype=bool)


def _absurd_note(what: str, column: Column) -> list[str]:
    values = column.astype(np.float64)
    present = values[~np.isnan(values)]
    strange = present[_absurd(present)]
    if not len(strange):
        return []
    return [
        f"{what}: {len(strange)} of {len(present)} values lie very far from the others, such as "
        f"{strange[0]:g}, and count as very large or small ones; empty these cells if they stand for missing values."
    ]


def _fit_levels(name: str, column: Column) -> Levels:
    counts = Counter(column.tolist())
    common = sorted(level for level, count in counts.items() if level is not None and count >= _MIN_LEVEL_COUNT)
    rare = sorted(level for level, count in counts.items() if level is not None and count < _MIN_LEVEL_COUNT)
    gaps: tuple[None, ...] = (None,) if None in counts else ()
    return Levels(name, (*common, *gaps), tuple(rare))


def _truth_value(text: str | None) -> str | None:
    """The text as Python spells truth values, if it is one."""
    spelt = text if text is None else text.strip().capitalize()
    return spelt if spelt in _TRUTH_VALUES else _TRUTH_OF_NUMBERS.get(text, text)


def _numbers_of(table: Table, name: str) -> NDArray[np.float64]:
    column = table.columns[name]
    numbers = as_numbers(column)
    if numbers is None:
        raise InputError(
            f"column {name!r} holds the text {first_strange(column)!r}, expected numbers as in training, or dates such "
            "as 2024-02-29 where there were dates; mend or empty these cells."
        )
    check_finite(name, numbers)
    return numbers


def _far_note(far: Mapping[str, NDArray[np.float64]]) -> list[str]:
    if not far:
        return []
    name, values = next(iter(far.items()))
    others = f" and {len(far) - 1} more" if len(far) > 1 else ""
    return [
        f"column {name!r}{others}: values such as {values[0]:g} lie more than {_CLIP:g} standard deviations from those "
        "trained on, treated as lying just so far; check that numbers, their units and dates are as in training."
    ]


def _unseen_note(name: str, unseen: Counter[str], n_rows: int) -> str:
    examples = ", ".join(repr(level) for level, _ in unseen.most_common(3)) + (", ..." if len(unseen) > 3 else "")
    count = sum(unseen.values())
    return (
        f"column {name!r}: {count} of {n_rows} rows hold {'a level' if len(unseen) == 1 else f'{len(unseen)} levels'} "
        f"unseen in training ({examples}), treated as unknown."
    )
