"""Recipe: the choices by which a table becomes a task, all of them with defaults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from operator import index
from typing import Any, TypedDict

from automl.data.preprocessing import MAX_LEVELS
from automl.data.targets import Kind
from automl.errors import InputError

ImageShape = tuple[int, int, int]
"""Channels, height and width."""


class Options(TypedDict, total=False):
    """Keyword arguments that every way of making a task takes, as in `Recipe`."""

    kind: Kind | None
    metric: str | None
    seed: int
    validation_fraction: float
    test_fraction: float
    ignore: Sequence[str]
    max_levels: int
    image_shape: ImageShape | None


@dataclass(frozen=True)
class Recipe:
    """How a table becomes a task.

    Args:
        kind: "classification" or "regression"; None to tell by the target's values (`automl.data.targets.fit_target`).
        metric: Name of the metric to judge by (`automl.data.metrics.METRICS`); None for log_loss or rmse.
        seed: Seed of the split.
        validation_fraction: Share of the rows that judge candidates.
        test_fraction: Share of the rows kept apart from the whole search; 0 for none.
        ignore: Columns to leave out.
        max_levels: Most levels that a column of texts may have.
        image_shape: Channels, height and width, where the columns are the pixels of an image in that order.

    Raises:
        InputError: If a share is out of range, the kind is unknown, or a choice is of a wrong type.
    """

    kind: Kind | None = None
    metric: str | None = None
    seed: int = 0
    validation_fraction: float = 0.2
    test_fraction: float = 0.0
    ignore: Sequence[str] = ()
    max_levels: int = MAX_LEVELS
    image_shape: ImageShape | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.ignore, Iterable):
            raise InputError(f"got ignore={self.ignore!r}, expected names of columns; pass them as a list.")
        object.__setattr__(self, "ignore", (self.ignore,) if isinstance(self.ignore, str) else tuple(self.ignore))
        if self.image_shape is not None:
            object.__setattr__(self, "image_shape", _image_shape(self.image_shape))
        self._check_types()
        if self.kind not in (None, "classification", "regression"):
            raise InputError(
                f"got the kind {self.kind!r}, expected 'classification' or 'regression'; choose one of these."
            )
        held_out = self.validation_fraction + self.test_fraction
        if not (0 < self.validation_fraction < 1 and 0 <= self.test_fraction < 1 and held_out < 1):
            raise InputError(
                f"got validation_fraction={self.validation_fraction} and test_fraction={self.test_fraction}, expected "
                "shares between 0 and 1 that leave rows for training; lower them."
            )

    def _check_types(self) -> None:
        """Refuses what would fail in the middle of making a task."""
        for name, is_right, expected in (
            ("metric", self.metric is None or isinstance(self.metric, str), "the name of a metric"),
            ("seed", _is_whole(self.seed) and self.seed >= 0, "a whole number of at least 0"),
            ("validation_fraction", isinstance(self.validation_fraction, Real), "a share between 0 and 1"),
            ("test_fraction", isinstance(self.test_fraction, Real), "a share between 0 and 1"),
            ("max_levels", _is_whole(self.max_levels) and self.max_levels >= 1, "a whole number of at least 1"),
        ):
            if not is_right:
                raise InputError(f"got {name}={getattr(self, name)!r}, expected {expected}; pass one.")

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, JSON-ready."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in values.items()
            if value != default
        }


def _image_shape(shape: Sequence[int]) -> ImageShape:
    """Three sizes as plain numbers; raises InputError where they are none."""
    try:
        channels, height, width = map(index, shape)
    except (TypeError, ValueError):
        channels = height = width = 0
    if min(channels, height, width) < 1:
        raise InputError(
            f"got image_shape={shape!r}, expected channels, height and width, each 1 or more, such as (1, 28, 28); "
            "write three numbers."
        )
    return channels, height, width


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
