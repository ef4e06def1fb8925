"""The data sets that are built in: scikit-learn's small ones, as tables."""

from __future__ import annotations

import importlib
from typing import Any, Final

import numpy as np

from automl.data.recipe import ImageShape
from automl.data.tables import Table, as_column, as_table

BUILT_IN: Final = ("digits", "wine", "iris", "breast_cancer", "diabetes")
"""Their names."""

BUILT_IN_TARGET: Final = "target"
"""The column that is predicted, in all of them."""


def built_in_table(name: str) -> tuple[Table, ImageShape | None]:
    """A built-in data set, and the shape of its images where its rows are such.

    Args:
        name: One of `BUILT_IN`.
    """
    bunch: Any = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")()
    targets = bunch.target
    if name in ("wine", "iris", "breast_cancer"):
        targets = np.asarray(bunch.target_names)[targets]
    inputs = as_table(bunch.data, [str(feature) for feature in bunch.feature_names])
    return Table({**inputs.columns, BUILT_IN_TARGET: as_column(targets)}), (1, 8, 8) if name == "digits" else None
