"""Splits of a table's rows into training, validation and test parts: by seed, stratified, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl.data.tables import Column
from automl.data.targets import TargetCoding, target_numbers
from automl.errors import InputError

_STRATA_OF_VALUES = 10


def strata_of(column: Column, coding: TargetCoding, needed: int) -> NDArray[np.intp]:
    """The stratum of each row [n]: its class, or the tenth of the target's range that it falls in, by rank.

    Args:
        column: The target.
        coding: How it is coded.
        needed: Rows that each class must have at least.

    Raises:
        InputError: If a class has fewer.
    """
    if coding.kind == "regression":
        values = target_numbers(coding.name, column)  # not coded: in 32 bits, those with a large mean are all the same
        n_strata = max(1, min(_STRATA_OF_VALUES, len(column) // 10))
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        return (ranks * n_strata // len(column)).astype(np.intp)
    targets = coding.encode(column).astype(np.intp)
    counts = np.bincount(targets, minlength=coding.n_outputs)
    if counts.min() < needed:
        few = [f"{label!r} ({count})" for label, count in zip(coding.classes, counts, strict=True) if count < needed]
        raise InputError(
            f"target {coding.name!r} has {len(few)} of {len(counts)} classes with too few rows: {', '.join(few[:5])}"
            f"{', ...' if len(few) > 5 else ''}; expected at least {needed} rows of each, one a part of the split: "
            "add rows, remove these classes, or predict it as a number if it is one (--kind regression, or "
            "kind='regression' in Python)."
        )
    return targets


def split(
    strata: NDArray[np.intp], seed: int, validation_fraction: float, test_fraction: float = 0.0
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the training, validation and test parts: disjoint, together all rows, each sorted.

    Within each stratum the rows are shuffled by the seed; each held-out part takes its share, rounded, and every part
    at least one row, so that every class is trained on and judged.

    Args:
        strata: The stratum of each row [n]; each has as many rows as there are parts, or more.
        seed: Seed of the shuffling.
        validation_fraction: Share of the rows that validate.
        test_fraction: Share of the rows that test.

    Returns:
        Indices of the rows of each part; the test part is empty where its share is 0.
    """
    generator = np.random.default_rng(seed)
    parts: tuple[list[NDArray[np.intp]], ...] = ([], [], [])
    for stratum in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == stratum))
        n_test = min(max(1, round(len(rows) * test_fraction)), len(rows) - 2) if test_fraction else 0
        n_validation = min(max(1, round(len(rows) * validation_fraction)), len(rows) - n_test - 1)
        n_train = len(rows) - n_test - n_validation
        for part, chosen in zip(parts, np.split(rows, [n_train, n_train + n_validation]), strict=True):
            part.append(chosen)
    train, validation, test = (np.sort(np.concatenate(part)) for part in parts)
    return train, validation, test
