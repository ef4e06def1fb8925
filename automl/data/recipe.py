"""Recipe: the choices by which a table becomes a task, all of them with defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
        InputError: If a share is out of range, or the kind is unknown.
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
        object.__setattr__(self, "ignore", (self.ignore,) if isinstance(self.ignore, str) else tuple(self.ignore))
        if self.image_shape is not None:
            object.__setattr__(self, "image_shape", tuple(int(size) for size in self.image_shape))
            _check_image_shape(self.image_shape)
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

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, JSON-ready."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in values.items()
            if value != default
        }


def _check_image_shape(shape: Sequence[int]) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            f"got image_shape={tuple(shape)}, expected channels, height and width, each 1 or more, such as "
            "(1, 28, 28); write three numbers."
        )
