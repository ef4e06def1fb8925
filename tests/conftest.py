"""How hypothesis searches: with the same examples in every run, lest a suite fail of what nobody has changed.

`HYPOTHESIS_PROFILE=explore make unit` draws other examples each time, and remembers those that failed.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
