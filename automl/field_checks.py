"""Checks that the fields of settings and proposers share."""

from __future__ import annotations

import math
from numbers import Integral, Real


def check_counts(settings: object, *names: str) -> None:
    """Refuses settings in which a count is below 1.

    Args:
        settings: What has the fields.
        *names: The fields' names; one that is None, for its default, is left alone.

    Raises:
        ValueError: If a field is below 1 or no whole number.
    """
    for name in names:
        count = getattr(settings, name)
        if count is not None and not isinstance(count, Integral):
            raise ValueError(f"got {name} = {count!r}, expected a whole number of at least 1; write one.")
        if count is not None and count < 1:
            raise ValueError(f"got {name} = {count}, expected at least 1; raise it.")


def check_positive(settings: object, *names: str) -> None:
    """Refuses settings in which a number is not above 0, or not finite.

    Args:
        settings: What has the fields.
        *names: The fields' names.

    Raises:
        ValueError: If a field is not positive and finite, or no number.
    """
    for name in names:
        value = getattr(settings, name)
        if not isinstance(value, Real) or not 0.0 < float(value) < math.inf:
            raise ValueError(f"got {name} = {value!r}, expected a positive, finite number; write one.")


def check_kinds(settings: object, /, **kinds: type) -> None:
    """Refuses settings in which a field is of another type than it is said to be.

    Args:
        settings: What has the fields.
        **kinds: The type of each field by name; one that is None, for its default, is left alone.

    Raises:
        ValueError: If a field is of another type.
    """
    for name, kind in kinds.items():
        value = getattr(settings, name)
        if value is not None and not isinstance(value, kind):
            expected = "True or False; choose one" if kind is bool else f"{kind.__name__}(...); make and pass one"
            raise ValueError(f"got {name} = {value!r}, expected {expected}.")
