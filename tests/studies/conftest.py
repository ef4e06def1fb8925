"""What tests of studies share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest


@pytest.fixture
def quiet_optuna() -> Iterator[None]:
    """Optuna says nothing of single trials during a test."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet, `studies.db` in the test's folder."""
    return f"sqlite:///{tmp_path / 'studies.db'}"
