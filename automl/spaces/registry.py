"""Which class reads a space back from its dict: one line a space, each module imported when it is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

from automl.spaces.base import Space

SPACE_CLASSES: Final[Mapping[str, tuple[str, str]]] = {
    "mlp": ("automl.spaces.mlp", "MLPSpace"),
    "cnn": ("automl.spaces.cnn", "CNNSpace"),
    "cell": ("automl.spaces.cell", "CellSpace"),
    "flat": ("automl.spaces.flat", "FlatSpace"),
    "table": ("automl.spaces.table", "TableSpace"),
}
"""Module and class of each space, by the `type` that its `to_dict` writes."""


def space_from_dict(fields: Mapping[str, Any]) -> Space:
    """The space that its `to_dict` wrote.

    Raises:
        ValueError: If the type or a field is unknown, or the fields leave no network.
    """
    kind = str(fields.get("type"))
    if kind not in SPACE_CLASSES:
        raise ValueError(
            f"got a space of type {kind!r}, expected one of {sorted(SPACE_CLASSES)}; was it written by a newer version?"
        )
    module, name = SPACE_CLASSES[kind]
    try:
        return cast(Space, getattr(import_module(module), name).from_dict(fields))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"got a {kind} space whose fields are not those that {name}.to_dict writes ({error}); "
            "was it written by another version?"
        ) from error
