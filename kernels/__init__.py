"""How near two candidate networks are, and the covariances built on that: the lowest floor.

The public names are listed here and imported on first use, so that `import kernels` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.architecture import Architecture as Architecture
    from kernels.layer_costs import LabelCosts as LabelCosts
    from kernels.otmann import otmann_distances as otmann_distances

DISTRIBUTION = "automl-studies"
"""Which distribution this package belongs to: `automl` checks it, since PyPI has another package named `kernels`."""

_HOMES = {
    "Architecture": "kernels.architecture",
    "LabelCosts": "kernels.layer_costs",
    "otmann_distances": "kernels.otmann",
}
__all__ = ["DISTRIBUTION", "Architecture", "LabelCosts", "otmann_distances"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kernels' has no attribute {name!r}; it offers {', '.join(sorted(_HOMES))}.")
    return getattr(import_module(_HOMES[name]), name)
