"""Figures for the dashboard while a search is at work: now and then, and never at the cost of the search."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
from optuna.trial import create_trial

from automl.task import load_task
from studies.dashboard import figures_on_the_way
from studies.dashboard.figures_on_the_way import FiguresOnTheWay
from studies.study import Study, create_study


class Clock:
    """Tells the seconds that a test has let pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[float]:
    """When figures were published; each time takes two seconds."""
    times: list[float] = []

    def publish(study: Study) -> None:
        times.append(clock.now)
        clock.now += 2.0

    monkeypatch.setattr(figures_on_the_way, "publish_figures_if_possible", publish)
    return times


@pytest.fixture
def study() -> Study:
    return create_study("iris", task=load_task("iris"), sampler="random", storage=None)


def finish_trials(study: Study, clock: Clock, n: int, figures: FiguresOnTheWay) -> None:
    """Lets `n` trials finish, one a second."""
    for _ in range(n):
        clock.now += 1.0
        figures(study.optuna, create_trial(value=1.0))


def test_figures_wait_for_a_search_that_lasts_and_take_a_twentieth_of_it(
    study: Study, clock: Clock, published: list[float]
) -> None:
    figures = FiguresOnTheWay(study, clock)
    finish_trials(study, clock, 10, figures)
    assert published == []
    finish_trials(study, clock, 200, figures)
    waits = [later - earlier for earlier, later in pairwise(published)]
    assert published[0] == 15.0 and len(published) == 5
    assert all(wait >= 42.0 for wait in waits)


def test_figures_that_fail_are_told_once_and_end_no_search(
    study: Study, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(study: Study) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(figures_on_the_way, "publish_figures_if_possible", fail)
    with caplog.at_level(logging.WARNING, "automl.studies"):
        finish_trials(study, clock, 60, FiguresOnTheWay(study, clock))
    assert [record.message for record in caplog.records] == [
        "the dashboard's figures are not kept up to date: RuntimeError: no ink"
    ]
