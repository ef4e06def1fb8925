"""What all tests share: how hypothesis searches, and what Ctrl-C does.

Hypothesis draws the same examples in every run, lest a suite fail of what nobody has changed;
`HYPOTHESIS_PROFILE=explore make unit` draws others each time, and remembers those that failed.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(autouse=True, scope="session")
def heeded_interrupts() -> None:
    """Interrupts end what they fall into, though shells start programs in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
