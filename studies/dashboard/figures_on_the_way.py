"""The dashboard's figures while a search is at work: published now and then, so that its trials are not held up."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from importlib.util import find_spec

import optuna
from optuna.trial import FrozenTrial

from studies.study import Study

_FIRST_FIGURES = 15.0  # Seconds; shorter searches get theirs at the end.
_FIGURES_PAUSE = 20.0  # The next figures wait so many times as long as the last ones took.

_logger = logging.getLogger("automl.studies")


def publish_figures_if_possible(study: Study) -> None:
    """Stores the dashboard's figures with the study, where the dashboard is installed at all."""
    if find_spec("optuna_dashboard") and find_spec("plotly"):
        from studies.dashboard.plots import publish_figures

        publish_figures(study)


class FiguresOnTheWay:
    """Keeps the dashboard's figures fresh while trials run, in about a twentieth of the time at most.

    Called with every finished trial, as Optuna's callbacks are. Only `automl run` publishes figures, never a worker: a
    figure is stored in several pieces, and those of two processes must not be mixed.

    Args:
        study: Whose figures.
        clock: Seconds that have passed, from any start.
    """

    def __init__(self, study: Study, clock: Callable[[], float] = time.monotonic) -> None:
        self._study = study
        self._clock = clock
        self._due = clock() + _FIRST_FIGURES

    def __call__(self, _: optuna.Study, trial: FrozenTrial) -> None:
        """Publishes them if they are due."""
        started = self._clock()
        if started < self._due:
            return
        try:
            publish_figures_if_possible(self._study)
        except Exception as error:  # Whatever a figure fails of, it must not end a search of hours.
            _logger.warning("the dashboard's figures are not kept up to date: %s: %s", type(error).__name__, error)
            self._due = math.inf
        else:
            self._due = self._clock() + _FIGURES_PAUSE * (self._clock() - started)
