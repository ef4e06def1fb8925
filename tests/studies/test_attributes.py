"""What is written into a storage beside parameters and values, and read back from it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from optuna.trial import create_trial

from automl.errors import InputError
from automl.spaces.mlp import MLPSpace
from automl.task import load_task
from studies.attributes import DEFINITION, StudyDefinition, TrialFacts, json_ready, read_definition
from studies.commands.report import report_html
from studies.distributions import to_distributions
from studies.study import create_study


def test_facts_come_back_through_json_with_none_where_a_number_was_not_finite() -> None:
    facts = TrialFacts(depth=3, curve=(0.5, math.nan, math.inf), metrics={"accuracy": 0.9, "r2": math.nan}, reason="x")
    stored = json.loads(json.dumps(facts.to_user_attrs(), allow_nan=False))
    read = TrialFacts.from_user_attrs({**stored, "foreign": 1})
    assert read.curve == (0.5, None, None)
    assert read.metrics == {"accuracy": 0.9, "r2": None}
    assert (read.depth, read.reason, read.parameters) == (3, "x", None)


def test_facts_that_are_not_known_are_not_written() -> None:
    assert TrialFacts().to_user_attrs() == {}
    assert TrialFacts.from_user_attrs({}) == TrialFacts()


def test_a_report_shows_a_metric_that_was_not_finite_as_a_dash() -> None:
    space = MLPSpace(max_layers=2)
    study = create_study("iris", task=load_task("iris"), space=space, sampler="random", storage=None)
    params = space.encode(space.sample(np.random.default_rng(0)))
    known = {name: distribution for name, distribution in to_distributions(space.parameters).items() if name in params}
    facts = TrialFacts(metrics={"accuracy": math.nan}, curve=(math.nan, 0.5), best_epoch=2)
    study.optuna.add_trial(
        create_trial(value=0.5, params=params, distributions=known, user_attrs=facts.to_user_attrs())
    )
    assert "<td>accuracy</td><td>-</td>" in report_html(study)


def test_numpys_numbers_become_plain_ones() -> None:
    assert json_ready({"a": np.float64(0.5), "b": [np.int64(2), np.nan], "c": np.array([1.0, np.inf])}) == {
        "a": 0.5,
        "b": [2, None],
        "c": [1.0, None],
    }


def test_a_definition_comes_back_and_one_of_a_newer_version_is_refused() -> None:
    definition = StudyDefinition({"data": "iris"}, "iris", "d", "log_loss", "minimize", {}, {}, "nao", 3)
    fields = json.loads(json.dumps(definition.to_dict()))
    assert read_definition("s", {DEFINITION: fields}) == definition
    with pytest.raises(InputError, match="version 99, expected 1; install the release"):
        StudyDefinition.from_dict({**fields, "version": 99})
    with pytest.raises(InputError, match="study 's' has no 'automl:definition' attribute"):
        read_definition("s", {})
