"""Which definitions a study goes on with."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from automl.errors import InputError
from automl.spaces.cell import CellSpace
from automl.spaces.mlp import MLPSpace
from automl.trainer import TrainerSettings
from studies.attributes import StudyDefinition
from studies.resumption import agreed

STORED = StudyDefinition(
    task={"target": "a", "options": {}},
    task_name="digits",
    task_digest="abc",
    metric="log_loss",
    direction="minimize",
    space=MLPSpace().to_dict(),
    settings={"max_epochs": 5},
    sampler="nasbot",
    seed=0,
)


def test_the_sampler_and_the_sources_may_change_and_nothing_else_does() -> None:
    wanted = replace(STORED, sampler="tpe", transfer_from=("wine",), direction="maximize")
    assert agreed("s", STORED, wanted, True) == replace(STORED, sampler="tpe", transfer_from=("wine",))


def test_another_sampler_than_before_is_told(caplog: pytest.LogCaptureFixture) -> None:
    agreed("s", STORED, STORED, True)
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "automl.studies"):
        agreed("s", STORED, replace(STORED, sampler="tpe"), True)
    assert "study 's' goes on with the sampler tpe instead of nasbot" in caplog.text


def test_past_studies_that_are_not_asked_for_again_are_told(caplog: pytest.LogCaptureFixture) -> None:
    stored = replace(STORED, transfer_from=("wine", "iris"))
    agreed("s", stored, replace(stored, transfer_from=("wine", "iris", "mnist")), True)
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "automl.studies"):
        found = agreed("s", stored, replace(stored, transfer_from=("iris",)), True)
    assert found.transfer_from == ("iris",)
    assert "study 's' learns no longer from wine, as it was not asked to" in caplog.text


def test_settings_that_are_younger_than_a_study_have_their_defaults() -> None:
    wanted = replace(STORED, settings=TrainerSettings(max_epochs=5).to_dict())
    assert agreed("s", STORED, wanted, True) == STORED


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (
            replace(STORED, space=CellSpace().to_dict()),
            "was made with the space mlp, got the space cell; give the new study another name",
        ),
        (
            replace(STORED, space=MLPSpace(max_layers=3).to_dict()),
            "made with max_layers 8, got max_layers 3;",
        ),
        (
            replace(STORED, task_digest="abd"),
            r"made of other data of the task 'digits', .* \(digest abc, got abd\); give",
        ),
        (replace(STORED, metric="accuracy"), "made with the metric log_loss, got the metric accuracy;"),
        (replace(STORED, settings={"max_epochs": 6}), "made with max_epochs 5, got max_epochs 6;"),
        (replace(STORED, task_name="wine", task_digest="abd"), "made with the task digits, got the task wine;"),
        (
            replace(STORED, seed=1, settings={"max_epochs": 6}),
            "made with max_epochs 5, the seed 0, got max_epochs 6, the seed 1;",
        ),
        (
            replace(STORED, task={"target": "b", "options": {"ignore": ["c"]}}, task_digest="abd"),
            r"made with the target a, ignore \[\], got the target b, ignore \['c'\];",
        ),
        (replace(STORED, seed=1), "the seed 0, got the seed 1"),
    ],
)
def test_what_differs_is_told_in_one_sentence_and_what_agrees_is_not(wanted: StudyDefinition, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as raised:
        agreed("s", STORED, wanted, True)
    assert len(str(raised.value)) < 280


def test_an_existing_study_is_gone_on_with_only_where_that_is_asked_for() -> None:
    with pytest.raises(InputError, match="load_if_exists=True"):
        agreed("s", STORED, STORED, False)
