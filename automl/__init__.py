"""What a candidate network is, what it is worth, and which to try next: the middle floor.

The public names are listed here and imported on first use, so that `import automl` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import kernels

if getattr(kernels, "DISTRIBUTION", None) != "automl-studies":
    raise ImportError(
        f"got a foreign package 'kernels' from {getattr(kernels, '__file__', 'an unknown place')}, expected the one of "
        "automl-studies; uninstall the other ('pip uninstall kernels'), then reinstall automl-studies."
    )

if TYPE_CHECKING:
    from automl.model import Model as Model
    from automl.spaces.cell import CellSpace as CellSpace
    from automl.spaces.cnn import CNNSpace as CNNSpace
    from automl.spaces.mlp import MLPSpace as MLPSpace
    from automl.task import Task as Task
    from automl.task import load_task as load_task
    from kernels.architecture import Architecture as Architecture

_HOMES = {
    "Architecture": "kernels.architecture",
    "CNNSpace": "automl.spaces.cnn",
    "CellSpace": "automl.spaces.cell",
    "MLPSpace": "automl.spaces.mlp",
    "Model": "automl.model",
    "Task": "automl.task",
    "load_task": "automl.task",
}
__all__ = ["Architecture", "CNNSpace", "CellSpace", "MLPSpace", "Model", "Task", "load_task"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'automl' has no attribute {name!r}; it offers {', '.join(sorted(_HOMES))}.")
    return getattr(import_module(_HOMES[name]), name)
