"""Reports: a page that holds whatever names people choose."""

from __future__ import annotations

import re

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from automl.task import load_task
from studies.commands.report import report_html
from studies.study import create_study


def test_names_cannot_bring_markup_into_the_page() -> None:
    study = create_study("<b>study</b>", task=load_task("iris", name="<i>task</i>"), sampler="random", storage=None)
    page = report_html(study)
    assert "<b>" not in page and "<i>" not in page
    assert "&lt;b&gt;study" in page and "<td>&lt;i&gt;task" in page


def test_the_page_says_what_became_of_every_trial() -> None:
    study = create_study("iris", task=load_task("iris"), sampler="random", storage=None)
    study.give_back(study.optuna.ask().number)
    rate: dict[str, BaseDistribution] = {"learning_rate": FloatDistribution(1e-4, 1.0)}
    study.optuna.tell(study.optuna.ask(), state=TrialState.FAIL)
    study.optuna.add_trial(create_trial(state=TrialState.FAIL, params={"learning_rate": 0.1}, distributions=rate))
    rows = re.findall(r"<tr><td>(\d)</td><td>-</td><td>([a-z ]+)</td>", report_html(study))
    assert rows == [("0", "interrupted"), ("1", "not run"), ("2", "failed")]
