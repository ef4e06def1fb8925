"""Refusals that spaces share: limits that leave nothing to search, and candidates that lie outside the limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

from automl.parameters import Parameter, Value
from automl.spaces.base import DECISION_OF_TASK


def check_task_kind(kind: str) -> None:
    """Raises ValueError if there is no such kind of task."""
    if kind not in DECISION_OF_TASK:
        raise ValueError(
            f"got the task kind {kind!r}, expected one of {sorted(DECISION_OF_TASK)}; choose one of these."
        )


def as_pair(name: str, pair: Iterable[int]) -> tuple[int, int]:
    """The lower and the upper limit of a field; raises ValueError unless there are just these two."""
    try:
        low, high = pair
    except (TypeError, ValueError):
        raise ValueError(
            f"got {name} = {pair!r}, expected the fewest and the most such as (8, 64); give both."
        ) from None
    return low, high


def as_several(name: str, items: object) -> tuple[Any, ...]:
    """The items of a field as a tuple; raises ValueError where there is one alone, a text included."""
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise ValueError(f"got {name} = {items!r}, expected several such; put it in brackets.")
    return tuple(items)


def check_limits(name: str, low: int, high: int, least: int = 1) -> None:
    """Raises ValueError unless least <= low <= high, all whole numbers."""
    if not all(_is_whole(limit) for limit in (low, high)):
        raise ValueError(f"got {name} from {low!r} to {high!r}, expected whole numbers; round them.")
    if not least <= low <= high:
        raise ValueError(
            f"got {name} from {low} to {high}, which leaves no network; expected {least} <= lower <= upper; "
            "mend or exchange the two."
        )


def _is_whole(number: object) -> bool:
    """Whether that is a whole number; True and False are none."""
    return not isinstance(number, bool) and isinstance(number, Integral)


def check_least(name: str, number: object, least: int) -> None:
    """Raises ValueError unless that is a whole number of at least `least`."""
    if isinstance(number, bool) or not isinstance(number, Integral) or int(number) < least:
        raise ValueError(f"got {name} = {number!r}, expected a whole number of at least {least}; mend it.")


def check_labels(name: str, labels: Sequence[str], known: Collection[str]) -> None:
    """Raises ValueError unless there are labels, all known, each once."""
    unknown = sorted(set(labels) - set(known))
    if not labels or unknown or len(set(labels)) != len(labels):
        problem = f"unknown ones {unknown}" if unknown else ("repeated ones" if labels else "none at all")
        raise ValueError(
            f"got {name} {list(labels)} with {problem}, expected some of {sorted(known)}, each once; mend the list."
        )


def check_depth(depth: int, low: int, high: int, what: str = "layers with parameters") -> None:
    """Raises ValueError if a network's number of layers lies outside the space's limits."""
    if not low <= depth <= high:
        raise ValueError(f"got a network of {depth} {what}, expected {low} to {high}; widen the space's limits.")


def check_assignment(assignment: Mapping[str, Value], parameters: Mapping[str, Parameter]) -> None:
    """Raises ValueError if an encoded architecture needs a value out of its parameter's range."""
    for name, value in assignment.items():
        if not parameters[name].contains(value):
            raise ValueError(
                f"got an architecture with {name} = {value!r}, expected a value in {parameters[name]}; "
                "widen the space's limits."
            )
