"""Where trials live: Optuna studies, storage, workers, dashboard and command line. The top floor.

The public names are listed here and imported on first use, so that the command line starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studies.dashboard.plots import publish_figures as publish_figures
    from studies.samplers import CombinedSampler as CombinedSampler
    from studies.samplers import NAOSampler as NAOSampler
    from studies.samplers import NASBOTSampler as NASBOTSampler
    from studies.study import Study as Study
    from studies.study import create_study as create_study
    from studies.study import load_study as load_study
    from studies.transfer import TransferSampler as TransferSampler

_HOMES = {
    "CombinedSampler": "studies.samplers",
    "NAOSampler": "studies.samplers",
    "NASBOTSampler": "studies.samplers",
    "Study": "studies.study",
    "TransferSampler": "studies.transfer",
    "create_study": "studies.study",
    "load_study": "studies.study",
    "publish_figures": "studies.dashboard.plots",
}
__all__ = [
    "CombinedSampler",
    "NAOSampler",
    "NASBOTSampler",
    "Study",
    "TransferSampler",
    "create_study",
    "load_study",
    "publish_figures",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'studies' has no attribute {name!r}; it offers {', '.join(sorted(_HOMES))}.")
    return getattr(import_module(_HOMES[name]), name)
