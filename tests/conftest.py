"""What tests share: how hypothesis searches, what Ctrl-C does, and fits that fail.

Hypothesis draws the same examples in every run, lest a suite fail of what nobody has changed;
`HYPOTHESIS_PROFILE=explore make unit` draws others each time, and remembers those that failed.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import settings

from automl.surrogates.architecture_gp import ArchitectureGP, Fit

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(autouse=True, scope="session")
def heeded_interrupts() -> None:
    """Interrupts end what they fall into, though shells start programs in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def first_fits_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Gaussian process of candidates is fitted on the second rung of its ladder, with more noise."""
    fitted = ArchitectureGP._fitted

    def failed(gp: ArchitectureGP, candidates: Any, scores: Any, rung: Any) -> Fit:
        if not rung.name:
            raise RuntimeError("singular")
        return fitted(gp, candidates, scores, rung)

    monkeypatch.setattr(ArchitectureGP, "_fitted", failed)
